"""What a cloud machine is told at its first boot: a cloud-config, for cloud-init. No I/O.

cloud-init plants the host key before sshd starts (its ``ssh`` module runs before ``ssh.service``),
so that no other key is ever shown. A plain script would run after sshd, too late.
"""

from __future__ import annotations

import textwrap

from infra.swarm.commands import INSTALL_NODE

FORGET_SCRIPT = "/var/lib/cloud/scripts/per-boot/dairflow-forget-user-data"
"""cloud-init runs it as the last thing of every boot: each boot writes the user data anew."""

# obj.pkl holds the user data too; without it cloud-init asks the metadata service again.
_FORGET = """\
#!/bin/sh
# The host key is in /etc/ssh by now: no second copy of it stays on the disk.
cd /var/lib/cloud/instance || exit 0
rm -f user-data.txt user-data.txt.i cloud-config.txt obj.pkl
rm -f /run/cloud-init/instance-data-sensitive.json /run/cloud-init/combined-cloud-config.json
"""


def cloud_config(
    *, hostname: str, user: str, host_key: str, host_public_key: str, authorized_key: str
) -> str:
    """Render the user data of one machine.

    ``user`` is the image's own, who has sudo, and may speak to the engine. ``host_key`` is the one
    secret in it, in OpenSSH's PEM; the public keys are ``ssh-ed25519 …``. The installation of
    nftables and Docker's engine goes on while Pulumi makes the other machines.
    """
    return f"""\
#cloud-config
preserve_hostname: false
manage_etc_hosts: localhost
hostname: {hostname}
ssh_pwauth: false
disable_root: true
ssh_keys:
  ed25519_private: |
{_block(host_key, 4)}
  ed25519_public: {host_public_key.strip()}
ssh_authorized_keys:
  - {authorized_key.strip()}
no_ssh_fingerprints: true
ssh:
  emit_keys_to_console: false
write_files:
  - path: {FORGET_SCRIPT}
    permissions: "0700"
    content: |
{_block(_FORGET, 6)}
runcmd:
  - - sh
    - -c
    - |
{_block(INSTALL_NODE, 6)}
  - usermod --append --groups docker {user}
"""


def _block(text: str, spaces: int) -> str:
    return textwrap.indent(text.strip(), " " * spaces)
