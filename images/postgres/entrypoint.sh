#!/bin/bash
# Makes the cluster at the first start, gives the roles the secrets' passwords at each, and serves.
# The image's stop signal, SIGINT, is PostgreSQL's fast shutdown.
set -euo pipefail

SECRETS=${SECRETS:-/run/secrets}
VOLUME=/var/lib/postgresql/data
DATA=$VOLUME/17

# Prints a secret as an SQL literal.
literal() {
    local text
    text=$(<"$SECRETS/$1")
    if [ -z "$text" ]; then
        printf 'the secret %s is empty\n' "$1" >&2
        exit 1
    fi
    printf "E'%s'" "$(sed -e 's/\\/\\\\/g' -e "s/'/''/g" <<<"$text")"
}

# Runs SQL, one statement a line, with no server and so with no way in for anyone else.
single_user() { postgres --single -j -D "$1" -c log_min_messages=error "$2" >/dev/null; }

make_cluster() {
    local new=$VOLUME/new
    rm -rf "$new" # of a first start that was interrupted
    initdb --pgdata "$new" --username postgres --encoding UTF8 --locale C.UTF-8 \
        --auth-local peer --auth-host reject --no-instructions --no-sync >/dev/null
    cat >"$new/pg_hba.conf" <<'HBA'
# TYPE DATABASE       USER           ADDRESS METHOD
local  all            postgres               peer
host   airflow        airflow        all     scram-sha-256
host   celery_results celery_results all     scram-sha-256
HBA
    cat >>"$new/postgresql.conf" <<'CONF'
listen_addresses = '*'
max_connections = 300
jit = off
log_timezone = 'UTC'
timezone = 'UTC'
CONF
    printf '%s\n\n' 'CREATE ROLE airflow LOGIN;' 'CREATE ROLE celery_results LOGIN;' \
        'CREATE DATABASE airflow OWNER airflow;' \
        'CREATE DATABASE celery_results OWNER celery_results;' | single_user "$new" postgres
    sync -f "$new"
    mv "$new" "$DATA"
}

[ -s "$DATA/PG_VERSION" ] || make_cluster
rm -f "$DATA/postmaster.pid" # of a container that was killed: no other has this volume
{
    printf 'ALTER ROLE airflow PASSWORD %s;\n\n' "$(literal postgres_password)"
    printf 'ALTER ROLE celery_results PASSWORD %s;\n\n' "$(literal celery_results_password)"
} | single_user "$DATA" postgres
exec postgres -D "$DATA" "$@"
