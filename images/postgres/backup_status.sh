#!/bin/bash
# Reports which backups there are, and what is wrong with them: each problem is a line that begins with
# "PROBLEM: ", and makes the exit status 1. It runs in the container of backups.sh.
set -uo pipefail
# shellcheck source=images/postgres/repository.sh
. /opt/dairflow/repository.sh

LATE_ARCHIVE=10min

problem() { printf 'PROBLEM: %s\n' "$*"; }

in_gib() { awk -v bytes="$1" 'BEGIN {printf "%.1f GiB", bytes / 1024 ^ 3}'; }

report_backups() {
    local contents
    if ! contents=$(repository_contents 2>&1) || [ "$contents" = null ]; then
        problem "the repository is not readable: $contents"
        return
    fi
    jq --raw-output --argjson late "$((${BACKUP_EVERY_HOURS:-6} * 3600 * 2))" \
        --argjson grace "$FIRST_BACKUP_SECONDS" \
        --argjson uptime "$(($(date +%s) - $(stat --format=%Y /proc/1)))" '
        def ago: ((now - .) / 60 | floor) as $minutes
            | if $minutes < 120 then "\($minutes) min ago" else "\($minutes / 60 | floor) h ago" end;
        def mib: "\(. / 1048576 * 10 | round / 10) MiB";
        [.backup[]? | select(.error != true)] as $backups
        | ($backups | last) as $last
        | ([$backups[].info.repository.delta] | add // 0) as $bytes
        | (if .status.lock.backup.held then "a backup is under way" else empty end),
          (if .status.code == 0 or .status.code == 2 or $uptime < $grace then empty
           else "PROBLEM: the repository is not usable: \([.repo[]?.status.message] | unique | join(", "))"
           end),
          (if $last then
               "last backup    \($last.label), \($last.type), \($last.timestamp.stop | ago)",
               "backups        \($backups | length), \($bytes | mib) in the repository",
               "restorable     from \($backups[0].timestamp.stop | todate)"
           elif .status.lock.backup.held or $uptime < $grace then "last backup    none yet"
           else "PROBLEM: there is no backup" end),
          (if $last and now - $last.timestamp.stop > $late and (.status.lock.backup.held | not)
           then "PROBLEM: the last backup was made \($last.timestamp.stop | ago)" else empty end)
        ' <<<"$contents"
}

report_archive() {
    local ready waiting failing last
    if ! IFS='|' read -r ready waiting failing last < <(psql --no-psqlrc -qtA postgres 2>/dev/null <<SQL
SELECT count(*), coalesce(min(modification) < now() - interval '$LATE_ARCHIVE', false),
    (SELECT coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) FROM pg_stat_archiver),
    (SELECT coalesce(to_char(last_archived_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'nothing yet')
        FROM pg_stat_archiver)
FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready';
SQL
    ); then
        problem 'the database does not answer'
        return
    fi
    printf 'archived       until %s\n' "$last"
    if [ "$failing" = t ] || [ "$waiting" = t ]; then
        problem "WAL is not archived: $ready segments of 16 MiB wait beside the data (beyond" \
            "$MAXIMUM_WAITING_WAL they are dropped). The log of the service postgres names the cause."
    fi
}

# WAL was dropped, and no backup began since.
report_gap() {
    local dropped last
    if [ ! -e "$ARCHIVE_GAP" ]; then return; fi
    dropped=$(stat --format=%Y "$ARCHIVE_GAP")
    last=$(repository_contents | jq '[.backup[]? | select(.error != true) | .timestamp.start] | last // 0')
    if ((dropped >= ${last:-0})); then
        problem "WAL was dropped at $(date --utc --date="@$dropped" +%FT%TZ), because more than" \
            "$MAXIMUM_WAITING_WAL waited. Later moments cannot be restored until the next backup."
    fi
}

report_disk() {
    local free size
    read -r size free < <(df --output=size,avail --block-size=1 "$1" | tail -n 1)
    printf '%-14s %s of %s free\n' "$2" "$(in_gib "$free")" "$(in_gib "$size")"
    if ((free < size / 10)); then
        problem "the disk of $1 is almost full"
    fi
}

report=$(
    report_backups
    report_archive
    report_gap
    report_disk "$VOLUME" 'disk, data'
    if [ -z "${BACKUP_S3_BUCKET:-}" ]; then report_disk "$REPOSITORY" 'disk, backups'; fi
    printf 'repository     %s\n' "$(repository_name)"
    if [ -s "$BACKUP_FAILURE" ]; then
        problem "the last backup failed: $(tr '\n' ' ' <"$BACKUP_FAILURE")"
    fi
)
printf '%s\n' "$report"
! grep --quiet '^PROBLEM: ' <<<"$report"
