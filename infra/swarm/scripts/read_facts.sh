# read the machine's facts
# shellcheck shell=sh
. infra/remote/scripts/machine_facts.sh
: "${FIREWALL_FILE:?}"
: "${LIVE_FILE:?}"
: "${TABLE:?}"
: "${TRUST_MARK:?}"
: "${KEPT_FOLDER:?}"
: "${INFO_FORMAT:?}"
: "${NODE_FORMAT:?}"
section() { printf '\n== %s\n' "$1"; }
root=/var/lib/docker
# The last sections are always printed. The swarm's data on the disk count if the engine cannot take
# part in it.
finish() {
    section certificate
    for folder in swarm "$KEPT_FOLDER"; do
        cat "$root/$folder/certificates/swarm-node.crt" 2> /dev/null && break
    done
    section disk
    [ ! -d "$root/swarm/raft" ] || echo raft
    [ ! -d "$root/$KEPT_FOLDER" ] || echo kept
    section ended
    now
}
trap finish EXIT
section began
now
section hostname
hostname
section ssh
echo "$SSH_CONNECTION"
section os
# shellcheck source=/dev/null
(. /etc/os-release && echo "$ID ${ID_LIKE:-}")
section addresses
addresses
section nft
command -v nft
section firewall
if [ -e "$FIREWALL_FILE" ]; then
    sha256sum < "$FIREWALL_FILE" | cut -c 1-16
    nft -sn list table inet "$TABLE" 2> /dev/null | sha256sum | cmp -s - "$LIVE_FILE" && echo live
fi
section trust
grep -lsx "$TRUST_MARK" /etc/docker/certs.d/*/ca.crt | while read -r file; do
    sha256sum "$file"
done
# ESP is tried in a temporary network namespace.
section esp
unshare -n ip xfrm state add src 127.0.0.1 dst 127.0.0.2 proto esp spi 1 \
    aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 128 \
    2> /dev/null && echo yes
section engine
if ! command -v docker > /dev/null; then
    echo missing
    exit 0
fi
tries=0
while ! info=$(docker info --format "$INFO_FORMAT" 2> /dev/null); do
    tries=$((tries + 1))
    if ! pgrep -x dockerd > /dev/null || [ $tries -gt 300 ]; then
        echo stopped
        exit 0
    fi
    sleep 0.1
done
echo running
root=$(printf '%s\n' "$info" | sed -n '2s/^"\(.*\)" .*/\1/p')
section info
printf '%s\n' "$info"
case $info in *' true '*) ;; *) exit 0 ;; esac
section nodes
nodes=$(docker node ls -q 2>&1) || {
    section nodes-error
    printf '%s\n' "$nodes"
    exit 0
}
# shellcheck disable=SC2086 # a word for each node
docker node inspect --format "$NODE_FORMAT" $nodes
section tokens
docker swarm join-token -q worker
docker swarm join-token -q manager
exit 0
