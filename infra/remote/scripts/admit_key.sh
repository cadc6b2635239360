# add the operator's new key
# shellcheck shell=sh
# The key is one line of standard input. The file is replaced at once, and keeps its owner and mode.
: "${LOGIN_USER:?}"
set -e
key=$(cat)
file=$(getent passwd "$LOGIN_USER" | cut -d: -f6)/.ssh/authorized_keys
if ! grep -qxF -e "$key" "$file"; then
    cp -p "$file" "$file.new"
    { awk 1 "$file" && printf '%s\n' "$key"; } > "$file.new"
    sync "$file.new"
    mv -f "$file.new" "$file"
fi
