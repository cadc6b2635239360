#!/bin/bash
# Queues the tasks' sessions with the warehouse (PgBouncer): a client that finds all sessions taken
# waits for one instead of failing. See ADR 18.
set -euo pipefail
# shellcheck source=images/postgres/connections.sh
. /opt/dairflow/connections.sh

SECRETS=${SECRETS:-/run/secrets}
DATABASE_ADDRESS=${DATABASE_ADDRESS:-postgres:5432}
RUNTIME=/dev/shm/pgbouncer # memory: the password touches no disk
MAX_CLIENTS=20000
FILES_BESIDE_CLIENTS=200

password=$(<"$SECRETS/warehouse_password")
if [ -z "$password" ]; then
    printf 'the secret warehouse_password is empty\n' >&2
    exit 1
fi
ulimit -n "$(ulimit -Hn)"
files=$(ulimit -n)
clients=$MAX_CLIENTS
if [ "$files" != unlimited ] && ((files - FILES_BESIDE_CLIENTS < clients)); then
    clients=$((files - FILES_BESIDE_CLIENTS))
fi

umask 077
mkdir -p "$RUNTIME"
printf '"warehouse" "%s"\n' "${password//\"/\"\"}" >"$RUNTIME/users"
server="host=${DATABASE_ADDRESS%:*} port=${DATABASE_ADDRESS##*:}"
cat >"$RUNTIME/pgbouncer.ini" <<CONF
[databases]
warehouse = $server pool_size=$WAREHOUSE_SESSIONS
airflow = $server pool_size=$HISTORY_SESSIONS
[pgbouncer]
listen_addr = *
listen_port = 6432
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $RUNTIME/users
pool_mode = session
max_client_conn = $clients
query_wait_timeout = 3600
server_idle_timeout = 60
server_login_retry = 1
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
log_stats = 0
CONF
exec pgbouncer "$@" "$RUNTIME/pgbouncer.ini"
