# wait until no installation runs: one continues if the connection that started it is lost
# shellcheck shell=sh
: "${APT_LOCK:?}"
: "${APT_SECONDS:?}"
[ ! -e "$APT_LOCK" ] || flock -w "$APT_SECONDS" "$APT_LOCK" true
