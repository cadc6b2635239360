# load the firewall
# shellcheck shell=sh
: "${FIREWALL_FILE:?}"
: "${LIVE_FILE:?}"
: "${TABLE:?}"
: "${UNIT_FILE:?}"
set -e
umask 077
mkdir -p "${FIREWALL_FILE%/*}"
# The file is kept only after the kernel accepts it, so that a boot never loads a broken one.
cat > "$FIREWALL_FILE.new"
nft -f "$FIREWALL_FILE.new"
mv -f "$FIREWALL_FILE.new" "$FIREWALL_FILE"
nft -sn list table inet "$TABLE" | sha256sum > "$LIVE_FILE"
if [ -d /run/systemd/system ]; then
    cat > "$UNIT_FILE" << UNIT
[Unit]
Description=Firewall of the dairflow cluster
DefaultDependencies=no
Before=network-pre.target docker.service
Wants=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f $FIREWALL_FILE

[Install]
WantedBy=multi-user.target
UNIT
    systemctl daemon-reload
    systemctl enable --quiet "${UNIT_FILE##*/}"
fi
