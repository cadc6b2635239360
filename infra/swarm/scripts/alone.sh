# run one installation at a time: a cloud machine also installs at boot
# shellcheck shell=sh
: "${APT_LOCK:?}"
: "${APT_SECONDS:?}"
: "${COMMAND:?}"
# The second one waits, and then has nothing left to do. An engine that the command starts does not
# inherit the lock's file descriptor (-o).
exec flock -o -w "$APT_SECONDS" "$APT_LOCK" sh -c "$COMMAND"
