#!/bin/bash
# Replaces Airflow's database by a dump: restore.sh DUMP. Without an argument it lists the dumps.
# Dumps the present database first. The replacement is one transaction: if it fails, nothing changes.
set -euo pipefail

DUMPS=${DUMPS:-/var/lib/postgresql/dumps}

run_sql() { psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --tuples-only --no-align "$@"; }

list() {
    find "$DUMPS" -maxdepth 1 -name '*.dump' -printf '%f\t%s bytes\n' | sort
}

if [ $# -ne 1 ]; then
    printf 'usage: restore.sh DUMP\ndumps:\n' >&2
    list
    exit 2
fi
dump=$DUMPS/${1##*/}
if [ ! -f "$dump" ]; then
    printf 'There is no dump %s. Nothing was changed. The dumps:\n' "${1##*/}" >&2
    list >&2
    exit 1
fi
pg_restore --list "$dump" >/dev/null # fails for a file that is not a dump

# Retention must not take away the dump that is being restored.
held=$(mktemp "$DUMPS/restoring.XXXXXX")
ln -f "$dump" "$held"
open_again() {
    run_sql --command "ALTER DATABASE airflow CONNECTION LIMIT -1" postgres
    rm -f "$held"
}
trap open_again EXIT
# Superusers, such as this script, are not counted.
run_sql --command "ALTER DATABASE airflow CONNECTION LIMIT 0" postgres
run_sql --output /dev/null --command "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = 'airflow' AND pid <> pg_backend_pid() AND usename <> 'postgres'" postgres
present=$(run_sql --command "SELECT dairflow.dump_database('before_restore')" airflow)
{
    cat <<'SQL'
SET client_min_messages = warning;
DROP SCHEMA public CASCADE;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC;
SET ROLE airflow;
SQL
    pg_restore --file=- "$held"
} | run_sql --single-transaction --output /dev/null airflow
printf 'Restored %s. The database as it was before is in %s.\n' "${1##*/}" "$present"
printf 'Next: docker service update --force airflow_migrate (on a laptop: docker compose up -d)\n'
