# The repository of the backups: pgBackRest's configuration, and what it has. Sourced.

STANZA=airflow
REPOSITORY=${REPOSITORY:-/var/lib/pgbackrest}
RUN=/var/run/postgresql
VOLUME=${VOLUME:-/var/lib/postgresql/data}
# What pgbackrest_archive.sh writes, beside the data so that no backup has it.
ARCHIVE_GAP=$VOLUME/archive_gap
# WAL that cannot be archived is kept up to this size. What is beyond it is dropped, so that the
# database does not stop because of a full disk.
MAXIMUM_WAITING_WAL=4GiB

backups_are_on() { [ "${BACKUPS:-off}" = on ]; }

# Writes pgBackRest's configuration to the file that PGBACKREST_CONFIG names.
write_repository_settings() {
    local passphrase
    passphrase=$(<"${SECRETS:-/run/secrets}/backup_passphrase")
    if [ -z "$passphrase" ]; then
        printf 'the secret backup_passphrase is empty\n' >&2
        exit 1
    fi
    (
        umask 077
        cat >"$PGBACKREST_CONFIG" <<CONF
[global]
repo1-path=$REPOSITORY
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=$passphrase
repo1-retention-full-type=time
repo1-retention-full=${BACKUP_RETENTION_DAYS:-14}
repo1-bundle=y
repo1-block=y
compress-type=zst
start-fast=y
archive-push-queue-max=$MAXIMUM_WAITING_WAL
lock-path=$RUN/pgbackrest
log-level-console=off
log-level-file=off
log-level-stderr=warn
[$STANZA]
pg1-path=$VOLUME/$POSTGRES_MAJOR
pg1-socket-path=$RUN
pg1-user=postgres
CONF
    )
}

# Prints what the repository has, as JSON: pgBackRest's own record of the stanza.
repository_contents() {
    pgbackrest --stanza="$STANZA" --output=json info | jq '.[0]'
}
