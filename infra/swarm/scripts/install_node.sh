# install nftables and Docker's engine
# shellcheck shell=sh
. infra/swarm/scripts/install_nftables.sh
. infra/swarm/scripts/install_engine.sh
