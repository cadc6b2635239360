# shellcheck shell=bash
# shellcheck disable=SC2034 # the scripts that source this use them
# The repository of the backups: pgBackRest's configuration, and what it has. Sourced; what writes the
# configuration sources secret.sh too.

STANZA=airflow
REPOSITORY=${REPOSITORY:-/var/lib/pgbackrest}
RUN=/var/run/postgresql
VOLUME=${VOLUME:-/var/lib/postgresql/data}
# What pgbackrest_archive.sh writes, beside the data so that no backup has it.
ARCHIVE_GAP=$VOLUME/archive_gap
# Why the last backup failed, for as long as none has succeeded since.
BACKUP_FAILURE=/tmp/backup-failure
# How long the first backup may take to begin.
FIRST_BACKUP_SECONDS=300
# WAL that cannot be archived is kept up to this size. What is beyond it is dropped, so that the
# database does not stop because of a full disk.
MAXIMUM_WAITING_WAL=${MAXIMUM_WAITING_WAL:-4GiB}

# Nothing else runs while a database is restored.
RESTORE_PROCESSES=4

backups_are_on() { [ "${BACKUPS:-off}" = on ]; }

# Writes pgBackRest's configuration to the file that PGBACKREST_CONFIG names.
write_repository_settings() {
    local passphrase place
    passphrase=$(secret backup_passphrase) || exit 1
    place=$(repository_place) || exit 1
    (
        umask 077
        cat >"$PGBACKREST_CONFIG" <<CONF
[global]
$place
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
spool-path=/tmp
log-level-console=off
log-level-file=off
log-level-stderr=warn
[global:restore]
process-max=$RESTORE_PROCESSES
[global:archive-get]
archive-async=y
process-max=$RESTORE_PROCESSES
[$STANZA]
pg1-path=$VOLUME/$POSTGRES_MAJOR
pg1-socket-path=$RUN
pg1-user=postgres
CONF
    )
}

repository_name() {
    if [ -n "${BACKUP_S3_BUCKET:-}" ]; then
        echo "s3://$BACKUP_S3_BUCKET$BACKUP_S3_PATH"
    else
        echo "$REPOSITORY"
    fi
}

# Prints the options that name the repository: a bucket, or a folder.
repository_place() {
    local key key_secret
    if [ -z "${BACKUP_S3_BUCKET:-}" ]; then
        echo "repo1-path=$REPOSITORY"
        return
    fi
    key=$(secret backup_s3_access_key) || exit 1
    key_secret=$(secret backup_s3_secret_key) || exit 1
    cat <<CONF
repo1-type=s3
repo1-path=$BACKUP_S3_PATH
repo1-s3-bucket=$BACKUP_S3_BUCKET
repo1-s3-region=$BACKUP_S3_REGION
repo1-s3-endpoint=${BACKUP_S3_ENDPOINT:-s3.$BACKUP_S3_REGION.amazonaws.com}
repo1-s3-uri-style=$(if [ -n "${BACKUP_S3_ENDPOINT:-}" ]; then echo path; else echo host; fi)
repo1-s3-key=$key
repo1-s3-key-secret=$key_secret
CONF
    if [ -s "$SECRETS/backup_s3_ca" ]; then echo "repo1-storage-ca-file=$SECRETS/backup_s3_ca"; fi
}

# Prints what the repository has, as JSON: pgBackRest's own record of the stanza, or of all without one.
# pgBackRest writes the line breaks of an error's text as they are, which JSON does not have.
repository_contents() { repository_stanzas --stanza="$STANZA" | jq '.[0]'; }

# Prints pgBackRest's command that prepares the repository: another one if it has backups of another major
# version.
stanza_command() {
    local version
    version=$(repository_contents | jq --raw-output '.db | last | .version // empty')
    if [ -n "$version" ] && [ "$version" != "$POSTGRES_MAJOR" ]; then
        echo stanza-upgrade
    else
        echo stanza-create
    fi
}

repository_stanzas() { pgbackrest --output=json "$@" info | tr '[:cntrl:]' ' '; }
