#!/bin/bash
# Dumps Airflow's database into the file $1 of the dumps' folder, and keeps the newest KEEP_DUMPS.
# PostgreSQL runs it for dairflow.dump_database (dump_function.sql), as the server's user.
set -euo pipefail

DUMPS=${DUMPS:-/var/lib/postgresql/dumps}
KEEP_DUMPS=${KEEP_DUMPS:-5}

cat >/dev/null # what COPY TO PROGRAM sends
partial=$DUMPS/$1.partial
trap 'rm -f "$partial"' EXIT
rm -f "$DUMPS"/*.partial # of a dump that was interrupted
# As airflow, so that nothing which that role defined runs with a superuser's rights.
pg_dump --format=custom --role=airflow --exclude-schema=dairflow --file="$partial" airflow
sync "$partial"
mv "$partial" "$DUMPS/$1"
# Names sort by time.
find "$DUMPS" -maxdepth 1 -name 'airflow-*.dump' -printf '%f\n' | sort -r | tail -n +$((KEEP_DUMPS + 1)) \
    | while read -r old; do rm -f "$DUMPS/$old"; done
