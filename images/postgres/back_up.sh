#!/bin/bash
# Makes a backup of the type $1 (full or incr) for the reason $2, and removes what is older than the
# retention. Waits for another backup that is under way.
# PostgreSQL runs it for dairflow.back_up (backup_function.sql), and backups.sh on its schedule.
set -euo pipefail
# shellcheck source=images/postgres/repository.sh
. /opt/dairflow/repository.sh

ALREADY_RUNNING=50 # pgBackRest's exit status: another process has the lock
LOCK_TIMEOUT_SECONDS=3600

# Runs pgBackRest until no other process has the lock.
run_alone() {
    local status deadline=$((SECONDS + LOCK_TIMEOUT_SECONDS))
    while true; do
        status=0
        pgbackrest --stanza="$STANZA" "$@" 2>"$errors" || status=$?
        if ((status != ALREADY_RUNNING || SECONDS > deadline)); then break; fi
        sleep 2
    done
    cat "$errors" >&2
    return "$status"
}

errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
run_alone "$(stanza_command)"
run_alone --type="$1" --annotation="reason=$2" backup
