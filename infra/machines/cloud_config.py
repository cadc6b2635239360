"""Renders the user data of a cloud machine: a cloud-config for cloud-init. No I/O.

cloud-init plants the host key before sshd starts (its ``ssh`` module runs before ``ssh.service``),
so that sshd never presents another key. A plain script would run after sshd, too late.
"""

from __future__ import annotations

import textwrap

from infra.remote.script import script
from infra.swarm.commands import INSTALL_NODE

FORGET_SCRIPT = "/var/lib/cloud/scripts/per-boot/dairflow-forget-user-data"
"""cloud-init runs it at the end of every boot, because each boot writes the user data again."""

_FORGET = script("machines/scripts/forget_user_data.sh")


def cloud_config(
    *, hostname: str, user: str, host_key: str, host_public_key: str, authorized_key: str
) -> str:
    """Render the user data of one machine.

    ``user`` is the image's own user, who has sudo and access to the engine. ``host_key`` is the
    only secret, in OpenSSH's PEM format; the public keys are ``ssh-ed25519 …``. nftables and
    Docker's engine are installed while Pulumi creates the other machines.
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
