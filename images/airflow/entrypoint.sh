#!/bin/bash
# Starts one part of Airflow: entrypoint.sh PART [ARGUMENT…]; any other command is run as it is.
#
# Secrets are files in /run/secrets. What a service is given decides what it can do: only the files
# that are there become settings, and only in this process's own environment.
set -euo pipefail

SECRETS=${SECRETS:-/run/secrets}
BROKER_ADDRESS=${BROKER_ADDRESS:-redis:6379}
DATABASE_ADDRESS=${DATABASE_ADDRESS:-postgres:5432}
WAIT_SECONDS=${WAIT_SECONDS:-600}

has_secret() { [ -s "$SECRETS/$1" ]; }
secret() { printf '%s' "$(<"$SECRETS/$1")"; }

# Prints a secret as the password of a URL (RFC 3986: all but the unreserved characters encoded).
url_secret() {
    local LC_ALL=C text i character
    text=$(secret "$1")
    for ((i = 0; i < ${#text}; i++)); do
        character=${text:i:1}
        case $character in
            [A-Za-z0-9._~-]) printf '%s' "$character" ;;
            *) printf '%%%02X' "'$character" ;;
        esac
    done
}

export_settings() {
    if has_secret postgres_password; then
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="postgresql+psycopg2://airflow:$(url_secret postgres_password)@$DATABASE_ADDRESS/airflow"
        export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN
    fi
    if has_secret celery_results_password; then
        AIRFLOW__CELERY__RESULT_BACKEND="db+postgresql+psycopg2://celery_results:$(url_secret celery_results_password)@$DATABASE_ADDRESS/celery_results"
        export AIRFLOW__CELERY__RESULT_BACKEND
    fi
    if has_secret redis_password; then
        AIRFLOW__CELERY__BROKER_URL="redis://:$(url_secret redis_password)@$BROKER_ADDRESS/0"
        export AIRFLOW__CELERY__BROKER_URL
    fi
    if has_secret warehouse_password; then
        # Connections of Airflow's, for tasks: the warehouse, and the history of the cluster's tasks.
        local warehouse
        warehouse="postgresql://warehouse:$(url_secret warehouse_password)@$DATABASE_ADDRESS"
        export AIRFLOW_CONN_WAREHOUSE="$warehouse/warehouse"
        export AIRFLOW_CONN_AIRFLOW_HISTORY="$warehouse/airflow"
    fi
    local pair
    for pair in AIRFLOW__CORE__FERNET_KEY=fernet_key AIRFLOW__API_AUTH__JWT_SECRET=jwt_secret \
        AIRFLOW__API__SECRET_KEY=api_secret_key; do
        if has_secret "${pair#*=}"; then
            export "${pair%%=*}=$(secret "${pair#*=}")"
        fi
    done
}

# Waits until host:port accepts a connection: wait_for_port ADDRESS.
wait_for_port() {
    local host=${1%:*} port=${1##*:} deadline=$((SECONDS + WAIT_SECONDS)) said=0
    until (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; do
        if ((SECONDS >= deadline)); then
            printf 'gave up after %s s: nothing accepts connections at %s. Does that service run?\n' \
                "$WAIT_SECONDS" "$1" >&2
            exit 1
        fi
        if ((SECONDS >= said)); then
            printf 'waiting for %s\n' "$1" >&2
            said=$((SECONDS + 10))
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
            find "$logs" -mindepth 1 -type f -mtime "+$((${LOG_RETENTION_DAYS:-30} - 1))" -delete
            find "$logs" -mindepth 1 -depth -type d -empty -mtime +0 -delete
        done
    ) &
}

# Makes this process and its children what the kernel ends first when the machine's memory is used
# up: a task, and not the database beside it. A process may raise this without any privilege.
yield_memory() { printf 500 >/proc/self/oom_score_adj; }

wait_for_migration() { /opt/dairflow/database.py wait-for-migration --timeout "$WAIT_SECONDS"; }

export_settings
part=${1:-}
[ $# -eq 0 ] || shift
case $part in
    migrate)
        exec /opt/dairflow/migrate.py "$@"
        ;;
    api-server | scheduler | dag-processor | triggerer)
        wait_for_migration
        bound_logs
        exec airflow "$part" "$@"
        ;;
    worker)
        wait_for_port "$DATABASE_ADDRESS"
        wait_for_port "$BROKER_ADDRESS"
        bound_logs
        yield_memory
        # tini signals this process only, so that SIGTERM is Celery's warm shutdown: it takes no new
        # task and ends when the running ones have. Mingle and gossip tell workers of each other,
        # which nothing here needs.
        exec /opt/dairflow/worker.py celery worker --without-mingle --without-gossip "$@"
        ;;
    flower)
        wait_for_port "$BROKER_ADDRESS"
        # Celery's own command: Airflow's would import all of Airflow first.
        FLOWER_BASIC_AUTH="${FLOWER_USER:-admin}:$(secret flower_password)"
        CELERY_BROKER_URL=$AIRFLOW__CELERY__BROKER_URL
        export FLOWER_BASIC_AUTH CELERY_BROKER_URL
        unset AIRFLOW__CELERY__BROKER_URL
        exec celery flower "$@"
        ;;
    '')
        printf 'usage: migrate | api-server | scheduler | dag-processor | triggerer | worker | flower\n' >&2
        exit 2
        ;;
    *)
        exec "$part" "$@"
        ;;
esac
