#!/bin/bash
# Archives the WAL segment $1. PostgreSQL runs it as its archive_command, in the data's folder; pgBackRest
# requires its own name in that command.
set -uo pipefail
# shellcheck source=images/postgres/repository.sh
. /opt/dairflow/repository.sh

printed=$(pgbackrest --stanza="$STANZA" archive-push "$1" 2>&1)
status=$?
[ -z "$printed" ] || printf '%s\n' "$printed" >&2
# pgBackRest reports success for a segment beyond archive-push-queue-max, so that PostgreSQL removes it.
if [[ $printed == *'dropped WAL file'* ]]; then
    printf '%s\n' "${1##*/}" >"$ARCHIVE_GAP"
fi
exit "$status"
