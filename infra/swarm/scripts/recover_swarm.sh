# recover the swarm from its disk
# shellcheck shell=sh
. infra/swarm/scripts/leave_swarm.sh
: "${ADDRESS:?}"
: "${ADDRESS_POOL?}"
: "${IS_EXPIRED?}"
: "${KEPT_FOLDER:?}"
: "${PORT:?}"
set -e
root=$(docker info --format '{{.DockerRootDir}}')
swarm=$root/swarm
kept=$root/$KEPT_FOLDER
certificate=$swarm/certificates/swarm-node.crt

# An expired manager renews its certificate a moment after it starts to act; until then it would count
# as unable to act.
await_certificate() {
    [ -n "$IS_EXPIRED" ] || return 0
    tries=0
    while [ "$(sha256sum < "$certificate")" = "$expired" ]; do
        tries=$((tries + 1))
        if [ $tries -gt 600 ]; then
            echo 'the swarm runs, but has not renewed its certificate within 60 s' >&2
            exit 1
        fi
        sleep 0.1
    done
}

init() {
    docker swarm init --force-new-cluster --advertise-addr "$ADDRESS" \
        --listen-addr "$ADDRESS:$PORT" --data-path-addr "$ADDRESS" \
        ${ADDRESS_POOL:+--default-addr-pool "$ADDRESS_POOL"} > /dev/null
}

# An engine that cannot act as a manager rejects this ("not a swarm manager") until it has left. So its
# data are copied, it leaves, and the data are restored without the engine's own record of its swarm.
# The copy is removed after that and before the swarm starts: a copy that is found later belongs to an
# interrupted run, and the next run continues from it.
if [ ! -d "$kept" ]; then
    expired=$(sha256sum < "$certificate")
    if init 2>&1; then
        await_certificate
        exit 0
    fi
    rm -rf "$kept.new"
    cp -a "$swarm" "$kept.new"
    rm -f "$kept.new/docker-state.json"
    sync -f "$kept.new"
    mv "$kept.new" "$kept"
fi
leave_swarm --force
rm -rf "$swarm"
cp -a "$kept" "$swarm"
sync -f "$swarm"
rm -rf "$kept"
expired=$(sha256sum < "$certificate")
init
await_certificate
