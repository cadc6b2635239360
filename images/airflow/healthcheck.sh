#!/bin/bash
# Says whether one part of Airflow is healthy: healthcheck.sh PART. Imports nothing of Airflow, whose
# own checks cost some four CPU-seconds each.
set -euo pipefail

# Succeeds when http://127.0.0.1:$1$2 answers 200.
answers() {
    local status=
    exec 3<>"/dev/tcp/127.0.0.1/$1"
    printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&3
    read -rt 8 _ status _ <&3
    if [ "$status" != 200 ]; then
        printf 'http://127.0.0.1:%s%s answered %s\n' "$1" "$2" "${status:-nothing}" >&2
        return 1
    fi
}

# Succeeds when a TCP connection to remote port $1 is established in this container.
is_connected_to() {
    local remote state hexadecimal file
    printf -v hexadecimal '%04X' "$1"
    for file in /proc/net/tcp /proc/net/tcp6; do
        while read -r _ _ remote state _; do
            # 01 is TCP_ESTABLISHED (linux/include/net/tcp_states.h)
            if [ "$state" = 01 ] && [ "${remote##*:}" = "$hexadecimal" ]; then return 0; fi
        done <"$file"
    done
    printf 'no connection to port %s is established\n' "$1" >&2
    return 1
}

# Succeeds when something listens on local port $1.
listens() {
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
        printf 'nothing listens on port %s\n' "$1" >&2
        return 1
    fi
}

case ${1:-} in
    # The first request to the API of tasks builds it, which takes seconds: no task should wait for that.
    api-server) answers 8080 /execution/health ;;
    scheduler) answers 8974 /health ;;
    dag-processor) /opt/dairflow/database.py check-job DagProcessorJob ;;
    triggerer) /opt/dairflow/database.py check-job TriggererJob ;;
    worker) is_connected_to 6379 && listens 8793 ;;
    log-store) listens "${LOG_STORE_PORT:-8730}" ;;
    flower) answers 5555 /healthcheck ;;
    *)
        printf 'usage: api-server | scheduler | dag-processor | triggerer | worker | log-store | flower\n' >&2
        exit 2
        ;;
esac
