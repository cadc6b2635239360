# shellcheck shell=bash
# Begins the cluster with a backup, and refuses what would lose data or cannot be done. Sourced.
#
# RESTORE_FROM is `latest`, a moment such as 2026-11-27T10:15:00Z, or a backup's label.

# What the present data were restored from, so that the setting may stay; a backup has it too.
restored_from() { echo "$DATA/dairflow_restored_from"; }

refuse() {
    printf '%s\n' "$1 Nothing was changed." "Next: $2" >&2
    exit 1
}

is_backup_label() { [[ $1 =~ ^[0-9]{8}-[0-9]{6}F(_[0-9]{8}-[0-9]{6}[DI])?$ ]]; }

system_identifier() { pg_controldata "$DATA" | awk -F': *' '/^Database system identifier/ {print $2}'; }

# Refuses data and a repository that do not go with each other, or with RESTORE_FROM. With the argument
# `strictly`, also a repository that cannot be read, and a bucket that cannot be written to.
check_backups() {
    if ! backups_are_on; then return; fi
    write_repository_settings
    if [ -n "${RESTORE_FROM:-}" ]; then
        check_restore
    else
        check_owner "$@"
    fi
    if [ "${1:-}" = strictly ] && [ -n "${BACKUP_S3_BUCKET:-}" ]; then check_writable; fi
}

check_writable() {
    local printed
    if ! printed=$({ echo check | pgbackrest repo-put dairflow-check && pgbackrest repo-rm dairflow-check; } 2>&1); then
        refuse "The repository $(repository_name) cannot be written to: $printed" "give its key the right to write and to delete."
    fi
}

check_restore() {
    local contents others
    if [ -s "$DATA/PG_VERSION" ]; then
        if [ "$(cat "$(restored_from)" 2>/dev/null)" = "$RESTORE_FROM" ]; then return; fi
        refuse "restoreFrom is $RESTORE_FROM, and this cluster has data." \
            "remove the setting (pulumi config rm restoreFrom). To replace the data, put them aside first: docs/backups.md."
    fi
    contents=$(readable_contents) || exit 1
    if [ "$(jq '.backup | length' <<<"$contents")" = 0 ]; then
        others=$(repository_stanzas | jq --raw-output '[.[].name] - ["airflow"] | join(", ")')
        refuse "restoreFrom is $RESTORE_FROM, and the repository $(repository_name) has no backup of this project's${others:+; it has those of $others}." \
            "name the place of the backups in the settings, or remove restoreFrom."
    fi
    check_version "$contents"
    if [ "$RESTORE_FROM" != latest ]; then check_target "$contents"; fi
}

# Prints what the repository has; refuses one that cannot be read.
readable_contents() {
    local contents
    if ! contents=$(repository_contents 2>&1); then
        refuse "The repository $(repository_name) cannot be read: $contents" "correct its settings, or its server."
    fi
    if [ "$(jq '.status.code' <<<"$contents")" = 99 ]; then
        refuse "The repository $(repository_name) cannot be read: $(jq --raw-output '[.repo[].status.message] | join(", ")' <<<"$contents" | head -n 1). Is backupPassphrase that of these backups?" \
            "correct the settings, or remove restoreFrom."
    fi
    printf '%s\n' "$contents"
}

check_version() {
    local major
    major=$(jq --raw-output '.db | last | .version' <<<"$1")
    if [ "$major" != "$POSTGRES_MAJOR" ]; then
        refuse "The backups are of PostgreSQL $major; this image has $POSTGRES_MAJOR." \
            "restore with the release of dairflow whose image has PostgreSQL $major."
    fi
}

check_target() {
    local first
    if is_backup_label "$RESTORE_FROM"; then
        jq --exit-status --arg label "$RESTORE_FROM" 'any(.backup[]; .label == $label)' <<<"$1" >/dev/null \
            || refuse "There is no backup $RESTORE_FROM." \
                "take one of these: $(jq --raw-output '[.backup[].label] | join(", ")' <<<"$1")"
        return
    fi
    first=$(jq '.backup[0].timestamp.stop' <<<"$1")
    # pgBackRest takes a backup that was complete in an earlier second than the moment's.
    if (($(date --date="$RESTORE_FROM" +%s) <= first)); then
        refuse "restoreFrom is $RESTORE_FROM; the first backup was complete at $(date --utc --date="@$first" +%FT%TZ)." \
            "name a moment that is at least a second later."
    fi
}

# Refuses a repository with another database's backups: an empty database beside the backups of one
# that was lost, too. A repository that does not answer stops no database that is there.
check_owner() {
    local contents owner
    if [ "${1:-}" = strictly ]; then
        contents=$(readable_contents) || exit 1
    else
        contents=$(repository_contents 2>/dev/null) || return 0
    fi
    if [ "$(jq --raw-output '.db | last | .version' <<<"$contents")" != "$POSTGRES_MAJOR" ]; then return; fi
    owner=$(jq --raw-output '.db | last | .["system-id"]' <<<"$contents")
    if [ ! -s "$DATA/PG_VERSION" ]; then
        if [ "$(jq '.backup | length' <<<"$contents")" = 0 ]; then return; fi
        refuse "The repository $(repository_name) has backups of a database, and this cluster has no data." \
            "restore them (pulumi config set restoreFrom latest), or name another place for the backups."
    fi
    if [ "$(system_identifier)" != "$owner" ]; then
        refuse "The repository $(repository_name) has the backups of another database." \
            "name another place for this cluster's backups."
    fi
}

# Prints pgBackRest's options for RESTORE_FROM, one a line.
restore_options() {
    if [ "$RESTORE_FROM" = latest ]; then
        echo --type=default
    elif is_backup_label "$RESTORE_FROM"; then
        printf '%s\n' --type=immediate --target-action=promote "--set=$RESTORE_FROM"
    else
        printf '%s\n' --type=time --target-action=promote \
            "--target=$(date --utc --date="$RESTORE_FROM" '+%F %T.%6N+00')"
    fi
}

# Runs a server in the folder $1, that nobody reaches, until it has applied the archive.
recover() {
    local server
    postgres -D "$1" -c hot_standby=off -c listen_addresses= -c unix_socket_directories=/tmp \
        -c archive_command=/bin/false &
    server=$!
    # The files of a backup are those of a server in production, too.
    until [ ! -e "$1/recovery.signal" ] \
        && pg_controldata "$1" | grep --quiet '^Database cluster state: *in production$'; do
        if ! kill -0 "$server" 2>/dev/null; then
            printf '%s\n' "The recovery to $RESTORE_FROM failed: the log above says why." \
                "Is $RESTORE_FROM later than the last change that was archived? No data were made." >&2
            exit 1
        fi
        sleep 0.2
    done
    kill -INT "$server"
    wait "$server"
}

# Restores into a folder beside the data's, which becomes the data's when the recovery is complete: an
# interrupted restore is made again. Until then nothing is archived, so that the repository has no
# timeline that came to nothing.
restore_cluster() {
    local new=$VOLUME/new options
    rm -rf "$new"
    mkdir -m 0700 "$new"
    mapfile -t options < <(restore_options)
    printf 'restores %s from the repository %s\n' "$RESTORE_FROM" "$(repository_name)"
    pgbackrest --stanza="$STANZA" --pg1-path="$new" "${options[@]}" restore
    DATA=$new write_settings
    DATA=$new write_access_rules
    recover "$new"
    sed -i '/^restore_command/d; /^recovery_target/d' "$new/postgresql.auto.conf"
    printf '%s\n' "$RESTORE_FROM" >"$new/dairflow_restored_from"
    sync -f "$new"
    mv "$new" "$DATA"
    printf 'restored %s\n' "$RESTORE_FROM"
}
