# check whether the host can be a node
# shellcheck shell=sh
. infra/remote/scripts/machine_facts.sh
: "${CLAIM_FILE:?}"
# Every line is a keyword and its value; nothing on the host is changed.
echo "began $(now)"
echo "ssh $SSH_CONNECTION"
# shellcheck source=/dev/null
(. /etc/os-release && echo "id $ID" && echo "version $VERSION_ID" && echo "system $PRETTY_NAME")
echo "kernel $(uname -r)"
echo "architecture $(uname -m)"
echo "hostname $(uname -n)"
for tool in apt-get ip ss pgrep; do
    command -v $tool > /dev/null || echo "lacks $tool"
done
echo "addresses $(addresses 2> /dev/null)"
ip -4 route show 2> /dev/null | while read -r network rest; do
    device=${rest#*dev }
    case $network in [0-9]*) echo "route ${device%% *} $network" ;; esac
done
! grep -qs '"default-address-pools"' /etc/docker/daemon.json || echo pools
# shellcheck disable=SC2034 # columns before the address
ss -Hltn 2> /dev/null | while read -r state received sent address rest; do
    echo "listens ${address##*:}"
done
if command -v nft > /dev/null && ! error=$(nft list tables 2>&1); then
    echo "nft $error" | head -n 1
fi
if command -v ufw > /dev/null && ufw status 2> /dev/null | grep -q '^Status: active'; then
    echo 'ufw active'
fi
folder=/var/lib/docker
[ -d $folder ] || folder=/var/lib
echo "memory $(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo)"
echo "free $(df -Pk $folder | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4)"
if command -v dockerd > /dev/null; then
    offered=$(dockerd --version | cut -d ' ' -f 3 | tr -d ,)
else
    offered=$(apt-cache policy docker.io 2> /dev/null | sed -n 's/^ *Candidate: *//p')
fi
echo "offered ${offered#*:}"
if command -v docker > /dev/null; then
    docker info --format 'engine {{.ServerVersion}}' 2> /dev/null
    docker info --format 'swarm {{.Swarm.LocalNodeState}}' 2> /dev/null
fi
[ ! -e "$CLAIM_FILE" ] || echo "claim $(cat "$CLAIM_FILE")"
echo "ended $(now)"
