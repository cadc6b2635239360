# read a machine's facts
# shellcheck shell=sh

# The time, in seconds since 1970.
now() { date +%s.%N; }

# The IPv4 addresses and the MTU of each device, as JSON in one line.
addresses() { ip -j -4 addr show; }
