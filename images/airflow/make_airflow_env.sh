#!/bin/bash
# Makes airflow_env in $1 from conda_requirements.txt and pip_requirements.lock beside this script.
set -euo pipefail
target=$1
here=$(dirname "$(readlink -f "$0")")

# Without a conda channel only the interpreter can be served, and only the one that is installed.
specifications=$(sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$here/conda_requirements.txt")
python=$(grep -E '^python=' <<<"$specifications" | sed -e 's/^python=*//' || true)
others=$(grep -vE '^python(=|$)' <<<"$specifications" || true)
if [ -n "$others" ]; then
    printf 'conda_requirements.txt names packages that need a conda channel: %s\n' "$others" >&2
    printf 'This build takes every package from PyPI: move them to pip_requirements.txt.\n' >&2
    exit 1
fi
python=${python:-3.13}
if ! command -v "python$python" >/dev/null; then
    printf 'conda_requirements.txt asks for python=%s; this image has %s.\n' \
        "$python" "$(python3.13 --version)" >&2
    exit 1
fi
printf 'airflow_env: no conda channel is used; Python %s from Debian, packages from PyPI\n' "$python"

/opt/uv/bin/uv venv --no-cache --python "python$python" --prompt airflow_env "$target"
# Unchecked bytecode stays valid whatever a layer does to the files' times.
PYC_INVALIDATION_MODE=UNCHECKED_HASH /opt/uv/bin/uv pip install --no-cache --link-mode copy \
    --compile-bytecode --require-hashes --python "$target/bin/python" \
    --requirement "$here/pip_requirements.lock"

# Debugging symbols of extension modules (uvloop, asyncpg: 20 MB) are of no use without a debugger.
# Bundled *.libs are left alone: their tools of repair have moved sections that strip would break.
find "$target" -name '*.so' -not -path '*.libs/*' -exec strip --strip-debug {} +
# Sources that were compiled into those modules.
find "$target" \( -name '*.pyx' -o -name '*.pxd' \) -delete
# Tests that came with the packages (70 MB with their bytecode): nothing imports them.
find "$target"/lib/python3*/site-packages/{matplotlib,mpl_toolkits,numpy,pandas} \
    -type d -name tests -prune -exec rm -rf {} + 2>/dev/null || true
