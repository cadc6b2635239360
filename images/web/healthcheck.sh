#!/bin/bash
# Says whether Caddy serves. The API server behind it has a health check of its own.
set -euo pipefail
exec 3<>/dev/tcp/127.0.0.1/8081
printf 'GET / HTTP/1.1\r\nHost: 127.0.0.1:8081\r\nConnection: close\r\n\r\n' >&3
read -rt 8 _ status _ <&3
[ "$status" = 204 ]
