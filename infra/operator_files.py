"""Writes the operator's files of a stack: SSH key, known host keys and SSH configuration.

With them ``ssh -F CONFIG manager-1`` works as printed, and rejects any other host key.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from infra.remote.login import Login

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.remote.machine import Jump, Machine

KEY_FILE = "id_ed25519"
CONFIG_FILE = "ssh_config"
KNOWN_HOSTS_FILE = "known_hosts"
OWNER_FILE = "owner"
SOCKET_FILE = "docker.sock"
MAX_SOCKET_PATH_BYTES = 90
"""A Unix socket's path has at most 107 bytes on Linux and 103 on macOS (unix(7), unix(4)), and
needs room for a suffix."""


def write(
    folder: Path,
    machines: Sequence[Machine],
    private_key: str,
    logins: Mapping[str, Login] | None = None,
    *,
    owner: str = "",
) -> None:
    """Write the files, readable only by their owner; existing files are replaced.

    ``owner`` is the identity of the resource that the files belong to. ``logins`` are for machines
    with their own login, whose key files are the user's and are not copied.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    contents = _contents(folder, machines, private_key, logins or {})
    if owner:
        contents = {**contents, OWNER_FILE: owner}
    for name, text in contents.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)


def are_written(
    folder: Path,
    machines: Sequence[Machine],
    private_key: str,
    logins: Mapping[str, Login] | None = None,
) -> bool:
    """Return whether every file exists with the content that `write` would write."""
    return all(
        (folder / name).is_file() and (folder / name).read_text() == text
        for name, text in _contents(folder, machines, private_key, logins or {}).items()
    )


def owner_of(folder: Path) -> str:
    """Return the identity of the resource that the files belong to; empty if there is none."""
    try:
        return (folder / OWNER_FILE).read_text()
    except OSError:
        return ""


def remove(folder: Path) -> None:
    """Remove the files and their folder, if they exist."""
    shutil.rmtree(folder, ignore_errors=True)


def ssh_command(folder: Path, machine: str) -> str:
    """Return the command that opens a shell on a machine, or runs an appended command."""
    return f"ssh -F {shlex.quote(str(folder / CONFIG_FILE))} {machine}"


def docker_context_command(folder: Path, machine: str, context: str, *, user: str = "root") -> str:
    """Return the command that creates a Docker context for a machine's engine.

    The docker command's own ``ssh://`` supports neither a key file nor a known-hosts file, so the
    engine's socket is forwarded over SSH. The socket belongs to root and a group, to which the
    command adds another user.
    """
    socket = str(_socket(folder))
    forward, host = f"{socket}:/var/run/docker.sock", f"host=unix://{socket}"
    join = f"{ssh_command(folder, machine)} -t sudo usermod -aG docker {user} && "
    return (
        f"{'' if user == 'root' else join}"
        f"ssh -F {shlex.quote(str(folder / CONFIG_FILE))} -f -N -o ExitOnForwardFailure=yes "
        f"-o StreamLocalBindUnlink=yes -L {shlex.quote(forward)} {machine} && "
        f"docker context create {context} --docker {shlex.quote(host)} && "
        f"docker --context {context} node ls"
    )


def _socket(folder: Path) -> Path:
    """Return the path of the forwarded socket: in the folder, unless that path is too long."""
    socket = folder / SOCKET_FILE
    if len(os.fsencode(socket)) <= MAX_SOCKET_PATH_BYTES:
        return socket
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(tempfile.gettempdir(), f"dairflow-{digest}.sock")


def _contents(
    folder: Path, machines: Sequence[Machine], private_key: str, logins: Mapping[str, Login]
) -> dict[str, str]:
    own = Login(key_file=str(folder / KEY_FILE))
    hosts: list[str] = []
    known = ""
    for machine in machines:
        login = logins.get(machine.name, own)
        jump = machine.jump
        if jump is not None:
            name = f"{machine.name}-jump"
            known += f"{name} {jump.host_key}\n"
            hosts.append(_host(folder, name, jump, login.of_jump))
        known += f"{machine.name} {machine.host_key}\n"
        hosts.append(_host(folder, machine.name, machine, login))
        if jump is not None:
            hosts[-1] += f"  ProxyJump {machine.name}-jump\n"
    keys = {KEY_FILE: private_key} if private_key else {}
    return {**keys, KNOWN_HOSTS_FILE: known, CONFIG_FILE: "\n".join(hosts)}


def _host(folder: Path, name: str, host: Machine | Jump, login: Login) -> str:
    authentication = "  PreferredAuthentications keyboard-interactive,password\n"
    if login.key_file:
        authentication = f"  IdentityFile {_quoted(login.key_file)}\n  IdentitiesOnly yes\n"
    return f"""Host {name}
  HostName {host.address}
  Port {host.port}
  User {host.user}
  HostKeyAlias {name}
  UserKnownHostsFile {_quoted(folder / KNOWN_HOSTS_FILE)}
  StrictHostKeyChecking yes
{authentication}  LogLevel ERROR
"""


def _quoted(path: Path | str) -> str:
    """Quote a path for ssh_config(5), which splits values at spaces and expands percent signs."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
