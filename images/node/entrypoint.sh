#!/bin/bash
# Boots a node: firewall, Docker engine, sshd. As process 1 it reaps orphans, ends both daemons in
# order on SIGTERM, and ends itself when one of them does, so that Docker's restart policy boots
# the node again.
set -euo pipefail

say() { echo "node: $*" >&2; }

# Before anything listens. Written by the bootstrap; absent until then.
load_firewall() {
    local saved=/etc/dairflow/firewall.nft
    [[ -e $saved ]] || return 0
    nft -f "$saved" || {
        say "the saved firewall $saved does not load; refusing to start without it"
        exit 1
    }
}

# Prints the cgroup that the engine's containers belong under.
prepare_cgroups() {
    if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
        # Version 2, in a namespace of our own: a cgroup with processes in it can hand no
        # controllers down, so this one's move to a leaf.
        mount -o remount,rw /sys/fs/cgroup
        mkdir -p /sys/fs/cgroup/node
        local pid
        while read -r pid; do
            echo "$pid" > /sys/fs/cgroup/node/cgroup.procs 2> /dev/null || true
        done < /sys/fs/cgroup/cgroup.procs
        sed -e 's/ / +/g' -e 's/^/+/' /sys/fs/cgroup/cgroup.controllers \
            > /sys/fs/cgroup/cgroup.subtree_control
        echo /docker
    else
        # Version 1, where the host's tree is seen: below this container's own cgroup, so that
        # its limits hold and Docker removes the engine's cgroups with it.
        local own
        own=$(awk -F: '$2 ~ /(^|,)memory(,|$)/ { print $3 }' /proc/self/cgroup)
        echo "${own%/}/engine"
    fi
}

device_mtu() {
    local device
    device=$(ip -o route show default | awk '{ print $5; exit }')
    cat "/sys/class/net/${device:-lo}/mtu"
}

mount -o remount,rw /sys
load_firewall
cgroup_parent=$(prepare_cgroups)
# The engine's own leftovers of an earlier boot: /run is new, its process is gone.
rm -f /var/run/docker.pid

mtu=$(device_mtu)
dockerd --cgroup-parent "$cgroup_parent" --mtu "$((mtu < 1500 ? mtu : 1500))" &
engine=$!

mkdir -p /run/sshd
chmod 700 /root/.ssh
/usr/sbin/sshd -D -e &
sshd=$!

stopping=
stop() {
    stopping=yes
    kill -TERM "$engine" 2> /dev/null || true
}
trap stop TERM INT

# Bash reaps orphans by itself meanwhile. A signal interrupts the wait.
while kill -0 "$engine" 2> /dev/null && kill -0 "$sshd" 2> /dev/null; do
    wait -n || true
done

if [[ -n $stopping ]]; then
    wait "$engine" || true
    kill -TERM "$sshd" 2> /dev/null || true
    exit 0
fi
kill -0 "$engine" 2> /dev/null || say "dockerd ended"
kill -0 "$sshd" 2> /dev/null || say "sshd ended"
kill -TERM "$engine" "$sshd" 2> /dev/null || true
wait || true
exit 1
