#!/bin/bash
# Queues the tasks' sessions with the warehouse (PgBouncer): a client that finds all sessions taken
# waits for one instead of failing. See ADR 18. SIGTERM ends it when the last client has left.
set -euo pipefail
# shellcheck source=images/postgres/connections.sh
. /opt/dairflow/connections.sh
# shellcheck source=images/postgres/secret.sh
. /opt/dairflow/secret.sh

RUNTIME=/dev/shm/pgbouncer # memory: the password touches no disk
# By its socket, not by its name: c-ares, PgBouncer's resolver, keeps answers of the DNS for minutes,
# and that a name has no address for an hour. A server that starts again has another address.
SERVER=/var/run/postgresql
MAX_CLIENTS=20000
# As long as a login waits for an absent server.
LOGIN_SECONDS=300
FILES_BESIDE_CLIENTS=200

# Prints a user and its password as a line of the file of users: user NAME PASSWORD.
user() { printf '"%s" "%s"\n' "$1" "${2//\"/\"\"}"; }

# Prints the users. A user has one password, and a rotation of warehouse_password needs two at a time:
# so a password's user is named by it (images/airflow/dairflow/connections.py).
users() {
    local name password
    for name in warehouse_password warehouse_password_next warehouse_password_retired; do
        if [ "$name" != warehouse_password ] && ! [ -s "$SECRETS/$name" ]; then continue; fi
        password=$(secret "$name") || exit 1
        user "warehouse_$(printf %s "$password" | sha256sum | cut -c 1-12)" "$password"
    done
    # What a worker of an older release shows, which may still finish its tasks.
    name=warehouse_password_retired
    [ -s "$SECRETS/$name" ] || name=warehouse_password
    user warehouse "$(secret "$name")"
}

pooler_password=$(secret pooler_password)
ulimit -n "$(ulimit -Hn)"
files=$(ulimit -n)
clients=$MAX_CLIENTS
if [ "$files" != unlimited ] && ((files - FILES_BESIDE_CLIENTS < clients)); then
    clients=$((files - FILES_BESIDE_CLIENTS))
fi

umask 077
mkdir -p "$RUNTIME"
users >"$RUNTIME/users"
server="host=$SERVER user=warehouse password='${pooler_password//\'/\'\'}'"
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
client_login_timeout = $LOGIN_SECONDS
query_wait_timeout = 3600
server_idle_timeout = 60
server_login_retry = 1
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
log_stats = 0
CONF
exec pgbouncer "$@" "$RUNTIME/pgbouncer.ini"
