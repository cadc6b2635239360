#!/bin/sh
# The host key is in /etc/ssh by now: no second copy of it stays on the disk.
# obj.pkl has the user data too; without it cloud-init reads the metadata service again.
cd /var/lib/cloud/instance || exit 0
rm -f user-data.txt user-data.txt.i cloud-config.txt obj.pkl
rm -f /run/cloud-init/instance-data-sensitive.json /run/cloud-init/combined-cloud-config.json
