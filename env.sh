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
_dairflow_root=$(CDPATH='' cd -- "$(dirname -- "$_dairflow_file")" && pwd -P)
_dairflow_state=$_dairflow_root/.dairflow

# Some services and containers run without HOME. Python takes it from the user database, and so does this.
if [ -z "${HOME:-}" ]; then
    HOME=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6)
    export HOME="${HOME:-/}"
fi

_dairflow_remove_from_path() {
    PATH=":$PATH:"
    PATH=${PATH//":$1:"/:}
    PATH=${PATH#:}
    PATH=${PATH%:}
}

# What the env.sh of another clone set in this shell is that clone's: its programs, backend and passphrase
# would make every command here act on its stacks.
if [ -n "${DAIRFLOW_ROOT:-}" ] && [ "$DAIRFLOW_ROOT" != "$_dairflow_root" ]; then
    _dairflow_remove_from_path "$DAIRFLOW_ROOT/.venv/bin"
    _dairflow_remove_from_path "$DAIRFLOW_ROOT/.dairflow/bin"
    if [ "${PULUMI_CONFIG_PASSPHRASE_FILE:-}" = "$DAIRFLOW_ROOT/.dairflow/passphrase" ]; then
        unset PULUMI_CONFIG_PASSPHRASE_FILE
    fi
    if [ "${PULUMI_HOME:-}" = "$DAIRFLOW_ROOT/.dairflow/pulumi" ]; then
        unset PULUMI_HOME
    fi
fi
export DAIRFLOW_ROOT=$_dairflow_root

# Programs: the project's own folder and its locked Python first.
for _dairflow_folder in "$DAIRFLOW_ROOT/.venv/bin" "$_dairflow_state/bin"; do
    _dairflow_remove_from_path "$_dairflow_folder"
    PATH=$_dairflow_folder:$PATH
done
export PATH

# Pulumi's engine, its plugins and the program talk over loopback. gRPC, unlike Go and curl, sends even that
# through a proxy that the environment names (github.com/grpc/grpc, doc/environment_variables.md).
for _dairflow_name in no_proxy NO_PROXY; do
    eval "_dairflow_value=\${$_dairflow_name:-\${no_proxy:-\${NO_PROXY:-}}}"
    for _dairflow_folder in localhost 127.0.0.1 ::1; do
        case ",$_dairflow_value," in
            *",$_dairflow_folder,"* | ",*,") ;;
            *) _dairflow_value=${_dairflow_value:+$_dairflow_value,}$_dairflow_folder ;;
        esac
    done
    if [ -n "${http_proxy:-}${HTTP_PROXY:-}${https_proxy:-}${HTTPS_PROXY:-}${all_proxy:-}${ALL_PROXY:-}${grpc_proxy:-}" ]; then
        export "$_dairflow_name=$_dairflow_value"
    fi
done

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

# In the folder of another clone, Pulumi would run that clone's program on this one's stacks.
pulumi() {
    if (
        while [ "$(pwd -P)" != / ] && [ ! -e Pulumi.yaml ]; do cd .. || exit; done
        [ -e Pulumi.yaml ] && [ -e env.sh ] && [ "$(pwd -P)" != "$DAIRFLOW_ROOT" ]
    ); then
        echo "This shell is set up for $DAIRFLOW_ROOT. Run \`. ./env.sh\` here first." >&2
        return 1
    fi
    command pulumi "$@"
}

if [ ! -e "$_dairflow_state/passphrase" ] || [ ! -x "$DAIRFLOW_ROOT/.venv/bin/python" ]; then
    echo "dairflow is not set up yet: run \`make setup\` in $DAIRFLOW_ROOT" >&2
fi

unset _dairflow_file _dairflow_root _dairflow_state _dairflow_folder _dairflow_login _dairflow_name _dairflow_value
unset -f _dairflow_remove_from_path
