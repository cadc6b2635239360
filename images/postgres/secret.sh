# shellcheck shell=bash
# Reads the secrets. Sourced.

SECRETS=${SECRETS:-/run/secrets}

# Prints the secret $1. Ends the shell with an error if it is empty: in a substitution that is a shell
# of its own, so `|| exit 1` follows it.
secret() {
    local value
    value=$(<"$SECRETS/$1")
    if [ -z "$value" ]; then
        printf 'the secret %s is empty\n' "$1" >&2
        exit 1
    fi
    printf %s "$value"
}
