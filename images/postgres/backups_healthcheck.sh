#!/bin/bash
# Whether backups.sh works. Whether the backups are good is what backup_status.sh reports.
set -euo pipefail
LIMIT_SECONDS=120
(($(date +%s) - $(stat --format=%Y /tmp/backups-alive) < LIMIT_SECONDS))
