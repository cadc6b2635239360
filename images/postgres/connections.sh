# shellcheck shell=bash
# shellcheck disable=SC2034 # the scripts that source this use them
# How many connections each role may hold. Sourced by entrypoint.sh and pgbouncer.sh; see ADR 18.
#
# The sum is max_connections, so that no role can take a connection from another. The numbers hold for
# every number of managers and slots that the settings permit: scaling never restarts the database.

# Two web servers on each of seven managers, whose two pools (plain and asynchronous) hold at most 15
# connections each; and the scheduler, DAG processor, triggerer and migration.
AIRFLOW_CONNECTIONS=500
# Sessions that tasks have at the same time, by PgBouncer; more clients wait for one of these.
WAREHOUSE_SESSIONS=50
HISTORY_SESSIONS=8
# Sessions with the warehouse that do not come by PgBouncer.
WAREHOUSE_DIRECT=6
# For superusers: the server's own reserve, dumps, and `docker exec … psql`.
SUPERUSER_CONNECTIONS=10
OTHER_CONNECTIONS=300

# Prints how many connections the role $1 may hold.
connection_limit() {
    case $1 in
        airflow) echo "$AIRFLOW_CONNECTIONS" ;;
        # Twice: a PgBouncer that is replaced keeps its sessions until their tasks end.
        warehouse) echo $((2 * (WAREHOUSE_SESSIONS + HISTORY_SESSIONS) + WAREHOUSE_DIRECT)) ;;
        *) echo "$OTHER_CONNECTIONS" ;;
    esac
}
