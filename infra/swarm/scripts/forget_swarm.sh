# docker swarm leave --force
# shellcheck shell=sh
. infra/swarm/scripts/leave_swarm.sh
leave_swarm --force
