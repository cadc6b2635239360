#!/bin/bash
# Dumps Airflow's database into the file $1 of the dumps' folder. Keeps the newest KEEP_DUMPS, and of
# these two of one label, so that a migration that fails again and again leaves the earlier dumps.
# PostgreSQL runs it for dairflow.dump_database (dump_function.sql), as the server's user.
set -euo pipefail

DUMPS=${DUMPS:-/var/lib/postgresql/dumps}
KEEP_DUMPS=5
KEEP_OF_A_LABEL=2

cat >/dev/null # what COPY TO PROGRAM sends
partial=$DUMPS/$1.partial
trap 'rm -f "$partial"' EXIT
rm -f "$DUMPS"/*.partial # of a dump that was interrupted
# As airflow, so that nothing which that role defined runs with a superuser's rights.
pg_dump --format=custom --role=airflow --exclude-schema=dairflow --file="$partial" airflow
sync "$partial"
mv "$partial" "$DUMPS/$1"
# Names are airflow-TIME-LABEL.dump, and sort by time.
find "$DUMPS" -maxdepth 1 -name 'airflow-*.dump' -printf '%f\n' | sort -r \
    | awk -F- -v all="$KEEP_DUMPS" -v each="$KEEP_OF_A_LABEL" \
        '{ if (kept < all && of[$3] < each) { kept++; of[$3]++ } else print }' \
    | while read -r old; do rm -f "$DUMPS/$old"; done
