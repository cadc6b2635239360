# remove the firewall and our files
# shellcheck shell=sh
: "${FIREWALL_FILE:?}"
: "${LIVE_FILE:?}"
: "${TABLE:?}"
: "${UNIT_FILE:?}"
: "${TRUST_MARK:?}"
set -e
if nft list table inet "$TABLE" > /dev/null 2>&1; then nft delete table inet "$TABLE"; fi
if [ -e "$UNIT_FILE" ]; then
    systemctl disable --quiet "${UNIT_FILE##*/}"
    rm -f "$UNIT_FILE"
    systemctl daemon-reload
fi
rm -f "$FIREWALL_FILE" "$FIREWALL_FILE.new" "$LIVE_FILE"
rmdir "${FIREWALL_FILE%/*}" 2> /dev/null || true
grep -lsx "$TRUST_MARK" /etc/docker/certs.d/*/ca.crt | while read -r file; do
    rm -f "$file"
    rmdir "${file%/*}" 2> /dev/null || true
done
rmdir /etc/docker/certs.d 2> /dev/null || true
