# remove the operator's former keys
# shellcheck shell=sh
# Standard input has the base64 text of each key. cloud-init adds a user's key to root's file too.
: "${LOGIN_USER:?}"
set -e
keys=$(cat)
for user in root "$LOGIN_USER"; do
    file=$(getent passwd "$user" | cut -d: -f6)/.ssh/authorized_keys
    if grep -qsF -e "$keys" "$file"; then
        cp -p "$file" "$file.new"
        grep -vF -e "$keys" "$file" > "$file.new" || [ $? -eq 1 ]
        sync "$file.new"
        mv -f "$file.new" "$file"
    fi
done
