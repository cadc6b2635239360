# install nftables
# shellcheck shell=sh
. infra/swarm/scripts/packages.sh
set -e
if ! command -v nft > /dev/null; then
    note_packages
    apt update
    apt install --no-install-recommends nftables
    keep_note
fi
