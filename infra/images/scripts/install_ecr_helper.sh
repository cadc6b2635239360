# install Amazon's credential helper for Docker
# shellcheck shell=sh
. infra/swarm/scripts/packages.sh
set -e
if ! command -v docker-credential-ecr-login > /dev/null; then
    apt update
    apt install --no-install-recommends amazon-ecr-credential-helper
fi
