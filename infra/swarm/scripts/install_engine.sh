# install Docker's engine
# shellcheck shell=sh
. infra/swarm/scripts/packages.sh
set -e
if ! command -v dockerd > /dev/null || ! command -v docker > /dev/null; then
    note_packages
    # The engine creates some of the kernel's tables and leaves them behind.
    [ -e "$STATE_FOLDER/tables" ] || nft list tables > "$STATE_FOLDER/tables"
    apt update
    # Debian 13 has the docker command in a separate package; earlier releases and Ubuntu do not.
    cli=$(apt-cache --names-only search '^docker-cli$' | cut -d ' ' -f 1)
    apt install --no-install-recommends docker.io ${cli:+"$cli"} iptables ca-certificates
    keep_note
fi
. infra/swarm/scripts/start_engine.sh
