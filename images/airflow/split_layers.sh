#!/bin/bash
# Moves airflow_env ($1) into folders $2/1 … $2/$3 of similar size, each laid out from the root, so
# that the image has as many layers of it: an engine compresses and fetches layers side by side.
set -euo pipefail
source=$1 target=$2 parts=$3
packages=$(echo "$source"/lib/python3*/site-packages)
declare -a filled
for ((part = 1; part <= parts; part++)); do
    filled[part]=0
    mkdir -p "$target/$part$packages"
done
# Largest first, each to the part that is the least filled.
while read -r size name; do
    least=1
    for ((part = 2; part <= parts; part++)); do
        if ((filled[part] < filled[least])); then least=$part; fi
    done
    mv "$packages/$name" "$target/$least$packages/"
    filled[least]=$((filled[least] + size))
done < <(cd "$packages" && du -sk -- * .[!.]* 2>/dev/null | sort -rn)
cp -a "$source/." "$target/1$source/"
rm -rf "$source"
printf 'airflow_env in layers of %s KiB\n' "${filled[*]}"
