#!/bin/bash
# Makes backups when they are due. The repository itself says when the last one was made, so that a
# restart, or a time without this service, changes nothing and leaves nothing out.
set -uo pipefail
# shellcheck source=images/postgres/repository.sh
. /opt/dairflow/repository.sh
# shellcheck source=images/postgres/secret.sh
. /opt/dairflow/secret.sh

ALIVE=/tmp/backups-alive
FULL_DAYS=7
RETRY_SECONDS=300
LOOK_EVERY_SECONDS=10

# Prints when the file $1 was changed, in seconds; 0 if it is not there.
changed() { if [ -e "$1" ]; then stat --format=%Y "$1"; else echo 0; fi; }

# Whether no backup failed just now.
may_try() { (($(date +%s) - $(changed "$BACKUP_FAILURE") >= RETRY_SECONDS)); }

# Prints the type of backup that is due now; nothing if none is. What was restored has a timeline of its
# own, which begins with a full backup; a gap in the archive ends with the next backup.
due() {
    local contents
    contents=$(repository_contents) || return
    jq --raw-output --argjson every "$((${BACKUP_EVERY_HOURS:-6} * 3600))" \
        --argjson full "$((FULL_DAYS * 86400))" --argjson gap "$(changed "$ARCHIVE_GAP")" \
        --argjson restored "$(changed "$VOLUME/$POSTGRES_MAJOR/dairflow_restored_from")" '
        now as $now
        | [.backup[]? | select(.error != true)] as $backups
        | ($backups | map(select(.type == "full")) | last) as $last_full
        | ($backups | last) as $last
        | if $last_full == null or $now - $last_full.timestamp.start >= $full
              or $restored >= $last_full.timestamp.start then "full"
          elif $now - $last.timestamp.start >= $every or $gap >= $last.timestamp.start then "incr"
          else empty end' <<<"$contents"
}

back_up() {
    local printed
    printf 'backup (%s): begins\n' "$1"
    if printed=$(/opt/dairflow/back_up.sh "$1" schedule 2>&1); then
        rm -f "$BACKUP_FAILURE"
        printf 'backup (%s): complete%s\n' "$1" "${printed:+: $printed}"
    else
        printf '%s\n' "$printed" >"$BACKUP_FAILURE"
        printf 'backup (%s) failed: %s\n' "$1" "$printed" >&2
    fi
}

write_repository_settings
trap 'kill $(jobs -p) 2>/dev/null; wait; exit 0' TERM INT
job=
while true; do
    touch "$ALIVE"
    if [ -z "$job" ] || ! kill -0 "$job" 2>/dev/null; then
        job=
        if may_try && pg_isready --quiet --host="$RUN" && type=$(due) && [ -n "$type" ]; then
            back_up "$type" &
            job=$!
        fi
    fi
    sleep "$LOOK_EVERY_SECONDS" &
    wait $!
done
