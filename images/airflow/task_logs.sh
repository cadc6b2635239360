#!/bin/bash
# Copies task logs from where tasks write them to every manager, so that they outlive their worker.
#
#   task_logs.sh keep      receive the copies, on a manager (an rsync daemon)
#   task_logs.sh follow    send what is new, again and again
#   task_logs.sh finish    send what is new until every manager has it, for a minute at most
#
# Each manager's volume has an ID. The sender has a stamp for each ID, which is as old as what that
# volume has: a manager that was away gets what it lacks, and one with an empty volume gets all.
# Log files only grow, so a file's new end is all that travels.
set -euo pipefail

SECRETS=${SECRETS:-/run/secrets}
LOG_STORE=${LOG_STORE:-log-store}
LOG_STORE_PORT=${LOG_STORE_PORT:-8730}
PASS_SECONDS=${LOG_PASS_SECONDS:-3}
FINISH_SECONDS=60
REPORT_SECONDS=60
# What is written while a pass lists files is listed by the next one again.
OVERLAP='2 seconds ago'
VANISHED=24 # rsync's status when a file was removed meanwhile, as a log that is too old

cd "${AIRFLOW_HOME:-/opt/airflow}/logs"

# Prints the password that senders and receivers share.
password() {
    { printf 'task logs:'; cat "$SECRETS/api_secret_key"; } | sha256sum | cut -d ' ' -f 1
}

keep() {
    local settings
    [ -s .store-id ] || { cat /proc/sys/kernel/random/uuid >.store-id.new && mv .store-id.new .store-id; }
    settings=$(mktemp -d)
    printf 'airflow:%s\n' "$(password)" >"$settings/secrets"
    chmod 600 "$settings/secrets"
    cat >"$settings/rsyncd.conf" <<CONFIGURATION
port = $LOG_STORE_PORT
use chroot = no
lock file = $settings/rsyncd.lock
max connections = 100
timeout = 60
[logs]
comment = $(cat .store-id)
path = $PWD
read only = no
write only = yes
munge symlinks = yes
auth users = airflow
secrets file = $settings/secrets
refuse options = delete* remove-source-files links specials devices
CONFIGURATION
    exec rsync --daemon --no-detach --config "$settings/rsyncd.conf" --log-file /dev/stderr
}

# Sends what is new to the store at an address; fails if it did not take all of it.
send_to() {
    local id stamp next newer=() status=0
    local limits=(--contimeout=5 --timeout=30)
    id=$(rsync "${limits[@]}" "rsync://$1:$LOG_STORE_PORT/" | awk '$1 == "logs" { print $2 }')
    [ -n "$id" ] || return 1
    # Its volume is the one that is here: there is nothing to copy.
    if [ -e .store-id ] && [ "$(cat .store-id)" = "$id" ]; then return 0; fi
    stamp=.sent-$id next=.sending-$id
    touch -d "$OVERLAP" "$next"
    [ ! -e "$stamp" ] || newer=(-newer "$stamp")
    find . -type f ! -name '.*' "${newer[@]}" -print0 >"$list"
    if [ -s "$list" ]; then
        password | rsync "${limits[@]}" --password-file=- --from0 --files-from="$list" \
            --times --omit-dir-times --append . "rsync://airflow@$1:$LOG_STORE_PORT/logs/" || status=$?
    fi
    if [ "$status" -ne 0 ] && [ "$status" -ne "$VANISHED" ]; then return 1; fi
    mv "$next" "$stamp"
}

# Succeeds if nothing was written since every store at these addresses got all.
is_sent() {
    [ -e .sent ] && [ "$(cat .sent)" = "$1" ] &&
        [ -z "$(find . -type f ! -name '.*' -newer .sent -print -quit)" ]
}

# Sends what is new to every store; fails if there is none, or one did not take all of it. Of two
# containers on one volume, one sends at a time.
send() {
    local addresses address status=0
    addresses=$(getent ahostsv4 "$LOG_STORE" | awk '{ print $1 }' | sort -u)
    [ -n "$addresses" ] || { printf '%s: no such host\n' "$LOG_STORE" >&2; return 1; }
    exec 9>.lock
    flock 9
    if ! is_sent "$addresses"; then
        printf '%s\n' "$addresses" >.sending
        touch -d "$OVERLAP" .sending
        for address in $addresses; do send_to "$address" || status=1; done
        [ "$status" -ne 0 ] || mv .sending .sent
    fi
    exec 9>&-
    return "$status"
}

follow() {
    local next_report=0 begun errors
    errors=$(mktemp)
    while true; do
        begun=$SECONDS
        if ! send 2>"$errors" && ((SECONDS >= next_report)); then
            printf 'task logs are not copied to every manager at present; the next try follows: %s\n' \
                "$(tail -n 1 "$errors")" >&2
            next_report=$((SECONDS + REPORT_SECONDS))
        fi
        # A pass over very many files takes a third of the time at most.
        sleep "$((PASS_SECONDS + 2 * (SECONDS - begun)))"
    done
}

finish() {
    local deadline=$((SECONDS + FINISH_SECONDS))
    until send; do
        ((SECONDS < deadline)) || exit 1
        sleep 1
    done
}

list=$(mktemp)
case ${1:-} in
    keep | follow | finish) "$1" ;;
    *)
        printf 'usage: task_logs.sh keep | follow | finish\n' >&2
        exit 2
        ;;
esac
