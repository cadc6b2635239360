# docker swarm leave
# shellcheck shell=sh
. infra/swarm/scripts/leave_swarm.sh
leave_swarm ''
