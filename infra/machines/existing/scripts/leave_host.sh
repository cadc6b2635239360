# leave the swarm and restore the host
# shellcheck shell=sh
. infra/swarm/scripts/await_installation.sh
. infra/swarm/scripts/leave_swarm.sh
: "${START_ENGINE:?}"
# A stopped engine keeps its swarm and cannot be emptied; an engine whose installation a killed run left
# in progress would start afterwards.
if command -v docker > /dev/null; then
    docker info > /dev/null 2>&1 || sh -c "$START_ENGINE"
    leave_swarm --force > /dev/null 2>&1 || true
fi
