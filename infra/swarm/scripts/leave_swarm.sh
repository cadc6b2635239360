# leave the swarm; succeed if the engine is not in a swarm
# shellcheck shell=sh
leave_swarm() { # [--force]
    output=$(docker swarm leave ${1:+"$1"} 2>&1) || case $output in
        *'not part of a swarm'*) ;;
        *)
            printf '%s\n' "$output" >&2
            return 1
            ;;
    esac
}
