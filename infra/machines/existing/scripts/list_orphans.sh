# look for volumes of another stack
# shellcheck shell=sh
: "${LEAVE_FILE:?}"
[ ! -e "$LEAVE_FILE" ] || echo leave
# A stopped engine does not list its volumes, and uses them again when it starts.
if command -v docker > /dev/null && docker info > /dev/null 2>&1; then
    docker volume ls --format 'volume {{.Name}}'
else
    for volume in /var/lib/docker/volumes/*; do
        [ ! -e "$volume" ] || echo "volume ${volume##*/}"
    done
fi
