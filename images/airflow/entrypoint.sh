#!/bin/bash
# Starts one part of Airflow: entrypoint.sh PART [ARGUMENT…]; any other command is run as it is.
#
# Secrets stay in their files, in /run/secrets: no process has one in its environment. Airflow reads
# them by the commands in airflow.cfg, so that `docker exec CONTAINER airflow …` has them as well.
set -euo pipefail

SECRETS=${SECRETS:-/run/secrets}
BROKER_ADDRESS=${BROKER_ADDRESS:-redis:6379}
DATABASE_ADDRESS=${DATABASE_ADDRESS:-postgres:5432}
WAREHOUSE_ADDRESS=${WAREHOUSE_ADDRESS:-pgbouncer:6432}
# As long as a health check lets a service start: a slow machine is waited for.
WAIT_SECONDS=${WAIT_SECONDS:-3600}

# Ends with an error unless this service has each of the secrets: require_secrets PART NAME….
require_secrets() {
    local part=$1 name
    shift
    for name in "$@"; do
        if ! [ -s "$SECRETS/$name" ]; then
            printf 'the secret %s is missing or empty in %s: %s needs it. Add it to the service in docker-compose.yaml\n' \
                "$name" "$SECRETS" "$part" >&2
            exit 1
        fi
    done
}

# Waits until host:port accepts a connection: wait_for_port ADDRESS.
wait_for_port() {
    local host=${1%:*} port=${1##*:} deadline=$((SECONDS + WAIT_SECONDS)) next_report=0
    until (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; do
        if ((SECONDS >= deadline)); then
            printf 'gave up after %s s: nothing accepts connections at %s. Does that service run?\n' \
                "$WAIT_SECONDS" "$1" >&2
            exit 1
        fi
        if ((SECONDS >= next_report)); then
            printf 'waiting for %s\n' "$1" >&2
            next_report=$((SECONDS + 10))
        fi
        sleep 0.5
    done
}

# Removes logs that nothing has written to for LOG_RETENTION_DAYS, once an hour for as long as this
# container runs. A folder of a run stays for a day after its last log is gone: a task may be about to
# write there.
bound_logs() {
    local logs=${AIRFLOW_HOME:-/opt/airflow}/logs
    (
        set +e # another container of this node may remove the same file first
        while sleep "${LOG_CHECK_SECONDS:-3600}"; do
            find "$logs" -mindepth 1 -type f ! -name .store-id \
                -mtime "+$((${LOG_RETENTION_DAYS:-30} - 1))" -delete
            find "$logs" -mindepth 1 -depth -type d -empty -mtime +0 -delete
        done
    ) &
}

# Copies task logs to the managers for as long as this container runs. On the laptop all services
# share one volume, LOG_STORE is empty, and nothing is copied.
copy_logs() { [ -z "${LOG_STORE:-}" ] || /opt/dairflow/task_logs.sh follow & }

# Makes this process and its children what the kernel ends first when the machine's memory is used
# up: a task, and not the database beside it. A process may raise this without any privilege.
yield_memory() { printf 500 >/proc/self/oom_score_adj; }

wait_for_migration() { /opt/dairflow/database.py wait-for-migration --timeout "$WAIT_SECONDS"; }

# By default libpq waits for a machine that has vanished as long as the kernel does.
bound_connects() { export PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-5}; }

# The mail server's certificate authority is trusted besides the public ones: trust_mail_server.
trust_mail_server() {
    [ -s "$SECRETS/smtp_ca" ] || return 0
    export SSL_CERT_FILE=/tmp/authorities.pem
    cat /etc/ssl/certs/ca-certificates.crt "$SECRETS/smtp_ca" >"$SSL_CERT_FILE.$$"
    mv "$SSL_CERT_FILE.$$" "$SSL_CERT_FILE"
}

trust_mail_server
part=${1:-}
[ $# -eq 0 ] || shift
case $part in
    migrate)
        require_secrets migrate postgres_password fernet_key admin_password backup_passphrase
        exec /opt/dairflow/migrate.py "$@"
        ;;
    api-server | dag-processor | triggerer)
        case $part in
            api-server) require_secrets api-server postgres_password fernet_key jwt_secret api_secret_key ;;
            dag-processor) require_secrets dag-processor postgres_password fernet_key ;;
            # Without the key that signs tokens: a trigger is the code of a DAG's author.
            triggerer) require_secrets triggerer postgres_password fernet_key api_secret_key ;;
        esac
        wait_for_migration
        bound_connects
        bound_logs
        [ "$part" != triggerer ] || copy_logs
        exec /opt/dairflow/part.py "$part" "$@"
        ;;
    scheduler)
        require_secrets scheduler postgres_password fernet_key jwt_secret redis_password
        wait_for_migration
        wait_for_port "$BROKER_ADDRESS"
        bound_connects
        exec /opt/dairflow/scheduler.py scheduler "$@"
        ;;
    worker)
        require_secrets worker redis_password api_secret_key
        wait_for_port "$BROKER_ADDRESS"
        wait_for_port "$WAREHOUSE_ADDRESS"
        bound_logs
        copy_logs
        yield_memory
        # tini signals this process only, so that SIGTERM is Celery's warm shutdown: it takes no new
        # task and ends when the running ones have. Mingle and gossip tell workers of each other,
        # which nothing here needs.
        exec /opt/dairflow/worker.py celery worker --without-mingle --without-gossip "$@"
        ;;
    log-store)
        require_secrets log-store api_secret_key
        bound_logs
        exec /opt/dairflow/task_logs.sh keep
        ;;
    flower)
        require_secrets flower redis_password flower_password
        wait_for_port "$BROKER_ADDRESS"
        # The seconds for which the page lists a worker that has left.
        export FLOWER_PURGE_OFFLINE_WORKERS=${FLOWER_PURGE_OFFLINE_WORKERS:-10}
        # Celery's own command: Airflow's would import all of Airflow first.
        exec celery --app dairflow.monitor flower "$@"
        ;;
    '')
        printf 'usage: migrate | api-server | scheduler | dag-processor | triggerer | worker | log-store | flower\n' >&2
        exit 2
        ;;
    *)
        exec "$part" "$@"
        ;;
esac
