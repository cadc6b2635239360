"""The operator's own files of a stack: an SSH key, the known host keys, and an SSH configuration.

With them ``ssh -F CONFIG manager-1`` works as printed, and refuses any other host key.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from infra.remote.machine import Machine

KEY_FILE = "id_ed25519"
CONFIG_FILE = "ssh_config"
KNOWN_HOSTS_FILE = "known_hosts"
SOCKET_FILE = "docker.sock"


def write(folder: Path, machines: Sequence[Machine], private_key: str) -> None:
    """Write the files, readable by their owner only; what was there is replaced."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name, text in _contents(folder, machines, private_key).items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)


def are_written(folder: Path, machines: Sequence[Machine], private_key: str) -> bool:
    """Return whether every file is there with the content that `write` would give it."""
    return all(
        (folder / name).is_file() and (folder / name).read_text() == text
        for name, text in _contents(folder, machines, private_key).items()
    )


def remove(folder: Path) -> None:
    """Remove the files and their folder; they may be gone already."""
    shutil.rmtree(folder, ignore_errors=True)


def ssh_command(folder: Path, machine: str) -> str:
    """Return the command that opens a shell on a machine, or runs what is added to it."""
    return f"ssh -F {folder / CONFIG_FILE} {machine}"


def docker_context_command(folder: Path, machine: str, context: str) -> str:
    """Return the command that makes a Docker context for a machine's engine.

    The docker command's own ``ssh://`` takes neither a key file nor a known-hosts file, so the
    engine's socket is forwarded over the connection that does.
    """
    socket = folder / SOCKET_FILE
    return (
        f"ssh -F {folder / CONFIG_FILE} -f -N -o ExitOnForwardFailure=yes "
        f"-o StreamLocalBindUnlink=yes -L {socket}:/var/run/docker.sock {machine} && "
        f"docker context create {context} --docker host=unix://{socket} && "
        f"docker --context {context} node ls"
    )


def _contents(folder: Path, machines: Sequence[Machine], private_key: str) -> dict[str, str]:
    return {
        KEY_FILE: private_key,
        KNOWN_HOSTS_FILE: "".join(f"{m.name} {m.host_key}\n" for m in machines),
        CONFIG_FILE: "\n".join(_host(folder, machine) for machine in machines),
    }


def _host(folder: Path, machine: Machine) -> str:
    return f"""Host {machine.name}
  HostName {machine.address}
  Port {machine.port}
  User {machine.user}
  HostKeyAlias {machine.name}
  UserKnownHostsFile {folder / KNOWN_HOSTS_FILE}
  StrictHostKeyChecking yes
  IdentityFile {folder / KEY_FILE}
  IdentitiesOnly yes
  LogLevel ERROR
"""
