#!/bin/bash
# Makes the cluster at the first start; at each makes the databases that are not there yet, gives the
# roles the secrets' passwords, and serves. Each database is its role's of the same name.
# The image's stop signal, SIGINT, is PostgreSQL's fast shutdown.
# With the argument `pgbouncer` it is the warehouse's queue instead, with `backups` what makes backups,
# and with `check-backups` it only says whether the data, the backups and RESTORE_FROM go together.
set -euo pipefail
# shellcheck source=images/postgres/connections.sh
. /opt/dairflow/connections.sh
# shellcheck source=images/postgres/repository.sh
. /opt/dairflow/repository.sh
# shellcheck source=images/postgres/restore_cluster.sh
. /opt/dairflow/restore_cluster.sh
# shellcheck source=images/postgres/secret.sh
. /opt/dairflow/secret.sh
# shellcheck source=images/postgres/settings.sh
. /opt/dairflow/settings.sh

DATA=$VOLUME/$POSTGRES_MAJOR
# A role's name and the secret with its password.
ROLES='airflow postgres_password
warehouse pooler_password'

# Prints a secret as an SQL literal.
literal() {
    local text
    text=$(secret "$1") || exit 1
    printf "E'%s'" "$(sed -e 's/\\/\\\\/g' -e "s/'/''/g" <<<"$text")"
}

# Runs SQL in the database $1, each statement followed by an empty line, with no server and so with no
# way in for others.
single_user() { postgres --single -j -D "$DATA" -c log_min_messages=error "${1:-postgres}"; }

make_cluster() {
    local new=$VOLUME/new
    rm -rf "$new" # of a first start that was interrupted
    initdb --pgdata "$new" --username postgres --encoding UTF8 --locale C.UTF-8 \
        --auth-local peer --auth-host reject --no-instructions --no-sync >/dev/null
    sync -f "$new"
    mv "$new" "$DATA"
}

# Refuses to start an empty server beside data that this image does not read, and an older server than
# the one that used the volume last.
refuse_other_versions() {
    local file folder major
    for file in "$VOLUME"/PG_VERSION "$VOLUME"/[0-9]*/PG_VERSION; do
        folder=$(dirname "$file")
        if [ ! -s "$file" ] || [ "$folder" = "$DATA" ]; then continue; fi
        major=$(<"$file")
        # What an upgrade from an older version left behind.
        if [ -s "$DATA/PG_VERSION" ] && ((${major%%.*} < POSTGRES_MAJOR)); then continue; fi
        cat >&2 <<TEXT
The volume holds data of PostgreSQL $major in $folder. This image has PostgreSQL $POSTGRES_MAJOR and
reads only $DATA. Nothing was changed.
Next: deploy the release of dairflow whose image has PostgreSQL $major. To move the data to PostgreSQL
$POSTGRES_MAJOR, follow docs/database.md, "Change PostgreSQL's major version".
TEXT
        exit 1
    done
}

# Sizes the server; what postgresql.conf says before the line is overridden, ALTER SYSTEM overrides it.
write_settings() {
    local role rest connections=$SUPERUSER_CONNECTIONS
    while read -r role rest; do
        connections=$((connections + $(connection_limit "$role")))
    done <<<"$ROLES"
    {
        server_settings "$(memory_budget)" "$connections"
        archive_settings
    } >"$DATA/dairflow.conf"
    grep -qxF "include 'dairflow.conf'" "$DATA/postgresql.conf" \
        || printf "include 'dairflow.conf'\n" >>"$DATA/postgresql.conf"
}

# Who may sign in, and where. Airflow's own database lets tasks read a few columns of one table
# (images/airflow/migrate.py grants them); by itself this line gives nothing but the connection.
write_access_rules() {
    cat >"$DATA/pg_hba.conf" <<'HBA'
# TYPE DATABASE          USER           ADDRESS METHOD
local  all               postgres               peer
local  warehouse,airflow warehouse              scram-sha-256
host   airflow           airflow        all     scram-sha-256
host   warehouse,airflow warehouse      all     scram-sha-256
HBA
}

# Prints the SQL that makes what is not among the databases in $1, and sets every password.
statements() {
    local role secret password
    while read -r role secret; do
        password=$(literal "$secret") || exit 1
        if ! grep -qF "\"$role\"" <<<"$1"; then
            # A start that was cut off may have made the role without its database.
            printf '%s\n\n' \
                "DO 'BEGIN CREATE ROLE $role LOGIN; EXCEPTION WHEN duplicate_object THEN END';" \
                "CREATE DATABASE $role OWNER $role;"
        fi
        # restore.sh closes a database for a time, and may have been interrupted.
        printf '%s\n\n' "REVOKE ALL ON DATABASE $role FROM PUBLIC;" \
            "ALTER DATABASE $role CONNECTION LIMIT -1;" \
            "ALTER ROLE $role PASSWORD $password CONNECTION LIMIT $(connection_limit "$role");"
    done <<<"$ROLES"
}

# Prints the SQL that removes what a release before this one made and nothing reads any more: the
# results of Celery's tasks, which were pickles.
removals() {
    if grep -qF '"celery_results"' <<<"$1"; then
        printf '%s\n\n' 'DROP DATABASE celery_results;' 'DROP ROLE IF EXISTS celery_results;'
    fi
}

sync_roles() {
    local existing sql
    existing=$(printf 'SELECT datname FROM pg_database;\n\n' | single_user)
    sql=$(statements "$existing")
    printf '%s\n\n' "$sql" "$(removals "$existing")" | single_user >/dev/null
    cat /opt/dairflow/dump_function.sql /opt/dairflow/backup_function.sql | single_user airflow >/dev/null
}

# Makes the repository's place for this cluster, if it is not there. Without it no segment is archived;
# back_up.sh makes it likewise, so a repository that does not answer now stops nothing.
prepare_repository() {
    pgbackrest --stanza="$STANZA" --no-online "$(stanza_command)" || true
}

if [ "${1:-}" = pgbouncer ]; then
    shift
    exec /opt/dairflow/pgbouncer.sh "$@"
fi
if [ "${1:-}" = backups ]; then
    exec /opt/dairflow/backups.sh
fi
refuse_other_versions
if [ "${1:-}" = check-backups ]; then
    check_backups strictly
    exit
fi
check_backups
if [ ! -s "$DATA/PG_VERSION" ]; then
    if [ -n "${RESTORE_FROM:-}" ]; then restore_cluster; else make_cluster; fi
fi
# Of a container that was killed: no other has these volumes.
rm -f "$DATA/postmaster.pid" "$RUN"/.s.PGSQL.*
write_settings
write_access_rules
sync_roles
if backups_are_on; then prepare_repository; fi
exec postgres -D "$DATA" "$@"
