# remove Docker's engine, if it was installed for the cluster
# shellcheck shell=sh
: "${PURGE_SECONDS:?}"
: "${STATE_FOLDER:?}"
# If another package needs one of them, all stay, the script reports it, and the engine keeps running:
# this is checked before anything is stopped. An engine leaves rules and devices behind; a table that
# it created is removed if it has no other rules.
installed=$(sort -u "$STATE_FOLDER/installed" 2> /dev/null | tr '\n' ' ')
others=
# shellcheck disable=SC2086 # a word for each package
if [ -n "$installed" ]; then
    purge=$(apt-get -s purge $installed)
    removed=$(echo "$purge" | grep -E '^(Purg|Remv) ' | cut -d ' ' -f 2 | sort)
    ours=$(printf '%s\n' $installed | cut -d : -f 1)
    others=$(printf '%s\n' $removed | grep -vxF "$ours" || true)
fi
if [ -n "$others" ]; then
    # shellcheck disable=SC2086
    echo "kept, because other packages need them:" $installed "($others)"
elif [ -n "$installed" ]; then
    if echo " $installed " | grep -q ' docker.io '; then
        if [ -d /run/systemd/system ]; then
            systemctl disable --quiet --now docker.socket docker.service
        else
            service docker stop > /dev/null
        fi
        for family in iptables ip6tables; do
            command -v "$family-save" > /dev/null || continue
            "$family-save" | grep -v -E -e 'DOCKER( |-|$)' -e 'docker(0|_gwbridge)' \
                | "$family-restore"
        done
        nft list tables | while read -r word family table; do
            if grep -qx "$word $family $table" "$STATE_FOLDER/tables"; then continue; fi
            rules=$(nft list table "$family" "$table" \
                | grep -v -e '^#' -e '^table' -e '[{}]$' -e ' hook ' -e '^$' || true)
            [ -n "$rules" ] || nft delete table "$family" "$table"
        done
        for device in docker0 docker_gwbridge; do
            ip link delete "$device" 2> /dev/null || true
        done
    fi
    # shellcheck disable=SC2086
    timeout "$PURGE_SECONDS" env DEBIAN_FRONTEND=noninteractive apt-get -qq \
        -o DPkg::Lock::Timeout=120 purge $installed > /dev/null
    if echo " $installed " | grep -q ' docker.io '; then
        umount /run/docker/netns/* 2> /dev/null || true
        rm -rf /var/lib/docker/* /var/lib/containerd /opt/containerd /var/log/docker.log \
            /run/docker /run/docker.sock /run/containerd
        rmdir /var/lib/docker 2> /dev/null || true
        groupdel docker 2> /dev/null || true
    fi
fi
