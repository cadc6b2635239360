# shellcheck shell=bash
# Sizes PostgreSQL from the memory that it may use. Sourced by entrypoint.sh.

MEGABYTE=$((1024 * 1024))

# Prints the lowest memory limit in the files given, in bytes, or nothing if there is none. A limit
# that the machine cannot reach is none: cgroup v1 writes "unlimited" as such a number.
memory_limit() {
    local total=$1 file value lowest=
    shift
    for file in "$@"; do
        [ -r "$file" ] || continue
        value=$(<"$file")
        [[ $value =~ ^[0-9]{1,18}$ ]] && ((value < ${lowest:-$total})) && lowest=$value
    done
    printf '%s' "$lowest"
}

# Prints the bytes that PostgreSQL may use: its container's memory limit, but half of the machine at
# most; without a limit a quarter. It shares the machine with Airflow's services.
memory_budget() {
    local total limit
    total=$(($(awk '$1 == "MemTotal:" {print $2}' "${MEMINFO:-/proc/meminfo}") * 1024))
    limit=$(memory_limit "$total" "${CGROUP:-/sys/fs/cgroup}/memory.max" \
        "${CGROUP:-/sys/fs/cgroup}/memory/memory.limit_in_bytes")
    if [ -z "$limit" ]; then
        echo $((total / 4))
    else
        echo $((limit < total / 2 ? limit : total / 2))
    fi
}

# Prints $1 bytes in whole megabytes, at least $2 and at most $3 of them.
megabytes_within() {
    local value=$(($1 / MEGABYTE))
    ((value >= $2)) || value=$2
    ((value <= $3)) || value=$3
    printf '%sMB' "$value"
}

# Prints the settings for a budget of $1 bytes and $2 connections.
#
# work_mem: 16 parallel hash joins at the same time, each with three processes and twice work_mem in
# each (hash_mem_multiplier), need half of the budget; that memory is in /dev/shm.
server_settings() {
    cat <<CONF
# Written at each start by /opt/dairflow/entrypoint.sh: do not edit. ALTER SYSTEM overrides it.
listen_addresses = '*'
max_connections = $2
jit = off
log_timezone = 'UTC'
timezone = 'UTC'
shared_buffers = $(megabytes_within $(($1 / 4)) 64 8192)
effective_cache_size = $(megabytes_within $(($1 * 3 / 4)) 192 65536)
work_mem = $(megabytes_within $(($1 / 192)) 4 64)
maintenance_work_mem = $(megabytes_within $(($1 / 16)) 32 1024)
max_wal_size = $(megabytes_within $(($1 / 2)) 512 4096)
checkpoint_timeout = 10min
CONF
}

# Prints the settings of the archive: each segment of WAL goes to the repository of the backups, a minute
# after it was begun at the latest.
archive_settings() {
    if [ "${BACKUPS:-off}" = on ]; then
        cat <<'CONF'
archive_mode = on
archive_command = '/opt/dairflow/pgbackrest_archive.sh %p'
archive_timeout = 60s
CONF
    else
        echo 'archive_mode = off'
    fi
}
