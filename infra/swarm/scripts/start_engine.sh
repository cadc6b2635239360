# start Docker's engine
# shellcheck shell=sh
set -e

# If systemd does not run, Debian's package has a script for the older init. It must raise its limits,
# which fails for root in a container without CAP_SYS_RESOURCE.
if [ -d /run/systemd/system ]; then
    systemctl enable --quiet --now docker.service
elif ! service docker start > /dev/null 2>&1; then
    start-stop-daemon --start --oknodo --background --no-close --exec "$(command -v dockerd)" \
        --pidfile /run/docker-ssd.pid --make-pidfile -- -p /run/docker.pid \
        >> /var/log/docker.log 2>&1
fi
tries=0
until docker info > /dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ]; then docker info > /dev/null; fi
    sleep 0.1
done
