#!/bin/bash
# Serves with the secret's password. The configuration comes on standard input, so that the password
# is neither an argument nor in the environment. The append-only file keeps queued tasks over a restart.
set -euo pipefail
password=$(<"${SECRETS:-/run/secrets}/redis_password")
if [ -z "$password" ]; then
    echo 'the secret redis_password is empty' >&2
    exit 1
fi
quoted=$(sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' <<<"$password")
exec redis-server - <<CONF
bind * -::*
requirepass "$quoted"
dir /data
appendonly yes
save ""
maxmemory-policy noeviction
CONF
