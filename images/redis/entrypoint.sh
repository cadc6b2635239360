#!/bin/bash
# Serves with the secret's password, and while it is being rotated with the one before it as well. The
# configuration comes on standard input, so that no password is an argument or in the environment.
# The append-only file keeps queued tasks over a restart.
set -euo pipefail
SECRETS=${SECRETS:-/run/secrets}

# Prints a password as an access rule names it: by its hash, so that nothing has to be quoted.
rule() { printf %s "$(<"$SECRETS/$1")" | sha256sum | sed 's/^\([0-9a-f]*\).*/#\1/'; }

if [ -z "$(<"$SECRETS/redis_password")" ]; then
    echo 'the secret redis_password is empty' >&2
    exit 1
fi
rules=$(rule redis_password)
[ ! -s "$SECRETS/redis_password_previous" ] || rules+=" $(rule redis_password_previous)"
exec redis-server - <<CONF
bind * -::*
user default on $rules ~* &* +@all
dir /data
appendonly yes
save ""
maxmemory-policy noeviction
CONF
