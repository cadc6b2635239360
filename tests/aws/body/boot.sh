#!/bin/bash
# Boots a machine in the order of Debian's units: cloud-init's first two stages, sshd, the others.
set -u

# What an engine in a container needs, and a machine of its own would have.
mount -o remount,rw /sys
mkdir -p /etc/docker /run/sshd
if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    mount -o remount,rw /sys/fs/cgroup
    mkdir -p /sys/fs/cgroup/machine
    while read -r pid; do
        echo "$pid" > /sys/fs/cgroup/machine/cgroup.procs 2> /dev/null
    done < /sys/fs/cgroup/cgroup.procs
    sed -e 's/ / +/g' -e 's/^/+/' /sys/fs/cgroup/cgroup.controllers \
        > /sys/fs/cgroup/cgroup.subtree_control
    parent=/docker
else
    own=$(awk -F: '$2 ~ /(^|,)memory(,|$)/ { print $3 }' /proc/self/cgroup)
    parent=${own%/}/engine
fi
echo "{\"cgroup-parent\": \"$parent\"}" > /etc/docker/daemon.json

cloud-init init --local
cloud-init init
/usr/sbin/sshd
cloud-init modules --mode=config
cloud-init modules --mode=final

trap 'exit 0' TERM INT
while :; do
    sleep 3600 &
    wait $!
done
