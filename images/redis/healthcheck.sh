#!/bin/bash
# Says whether Redis answers, with its password out of sight of other processes' lists.
set -euo pipefail
REDISCLI_AUTH=$(<"${SECRETS:-/run/secrets}/redis_password")
export REDISCLI_AUTH
[ "$(redis-cli --no-auth-warning ping)" = PONG ]
