# shellcheck shell=bash
# Source this from bash or zsh, in any folder: `. ./env.sh`. Then plain `pulumi`, `docker` and
# `python` are this project's. Sourcing it twice changes nothing.

if [ -n "${BASH_VERSION:-}" ]; then
    _dairflow_file=${BASH_SOURCE[0]}
elif [ -n "${ZSH_VERSION:-}" ]; then
    eval '_dairflow_file=${(%):-%x}' # zsh's own syntax, which bash could not even read
else
    _dairflow_file=./env.sh
fi
DAIRFLOW_ROOT=$(CDPATH='' cd -- "$(dirname -- "$_dairflow_file")" && pwd -P)
export DAIRFLOW_ROOT
_dairflow_state=$DAIRFLOW_ROOT/.dairflow

# Programs: the project's own folder and its locked Python first.
for _dairflow_folder in "$DAIRFLOW_ROOT/.venv/bin" "$_dairflow_state/bin"; do
    PATH=":$PATH:"
    PATH=${PATH//":$_dairflow_folder:"/:}
    PATH=${PATH#:}
    PATH=$_dairflow_folder:${PATH%:}
done
export PATH

# Pulumi runs the program with this Python whatever else is on PATH, and stays silent about news.
export PULUMI_PYTHON_CMD=$DAIRFLOW_ROOT/.venv/bin/python
export PULUMI_SKIP_UPDATE_CHECK=true

# A user's own login wins: an access token, a backend, or `pulumi login` in the usual place.
# Otherwise the project's own file:// backend is the one logged in to in the project's own home.
_dairflow_login=${PULUMI_HOME:-$HOME/.pulumi}
if [ "$_dairflow_login" = "$_dairflow_state/pulumi" ]; then
    _dairflow_login=$HOME/.pulumi
fi
if [ -z "${PULUMI_CREDENTIALS_PATH:-}" ]; then
    if [ -n "${PULUMI_ACCESS_TOKEN:-}" ] ||
        grep -qs '"current": *"[^"]' "$_dairflow_login/credentials.json"; then
        export PULUMI_CREDENTIALS_PATH=$_dairflow_login
    fi
fi
export PULUMI_HOME=$_dairflow_state/pulumi

# One passphrase for the secrets in the project's stacks, unless the user has set one.
if [ -z "${PULUMI_CONFIG_PASSPHRASE+set}" ] && [ -z "${PULUMI_CONFIG_PASSPHRASE_FILE:-}" ]; then
    export PULUMI_CONFIG_PASSPHRASE_FILE=$_dairflow_state/passphrase
fi

if [ ! -e "$_dairflow_state/passphrase" ] || [ ! -x "$DAIRFLOW_ROOT/.venv/bin/python" ]; then
    echo "dairflow is not set up yet: run \`make setup\` in $DAIRFLOW_ROOT" >&2
fi

unset _dairflow_file _dairflow_state _dairflow_folder _dairflow_login
