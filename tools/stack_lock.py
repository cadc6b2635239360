"""The locks that a killed Pulumi leaves on a stack of the project's own backend.

Pulumi keeps one file for each process that is changing a stack, and removes it when that process
ends by itself; after a `kill -9` it stays, and every later update is refused.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PROJECT = "dairflow"
PULUMI = "pulumi"
OWN_BACKEND_CHOSEN_BY = ("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN", "PULUMI_CREDENTIALS_PATH")
"""Set by a user who has a backend of their own, or by env.sh after their own `pulumi login`."""


@dataclass(frozen=True, kw_only=True)
class StaleLock:
    """A lock whose process is no more."""

    file: Path
    pid: int

    def remove(self) -> None:
        """Take the lock away: this one alone, where `pulumi cancel` takes any that is there."""
        self.file.unlink(missing_ok=True)
        self.file.with_name(f"{self.file.name}.attrs").unlink(missing_ok=True)


def own_backend(state: Path, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the project's own backend below its `state` folder; None when another one is used."""
    backend = state / "state"
    credentials = state / "pulumi" / "credentials.json"
    if any(environment.get(name) for name in OWN_BACKEND_CHOSEN_BY):
        return None
    try:
        current = json.loads(credentials.read_text()).get("current")
    except (OSError, ValueError):
        return None
    return backend if current == f"file://{backend}" else None


def stale_locks(backend: Path, stack: str) -> list[StaleLock]:
    """Return the locks on a stack that a Pulumi of this machine left when it was killed.

    A lock of another machine is not among them: nobody here can tell whether its process lives.
    """
    folder = backend / ".pulumi" / "locks" / "organization" / PROJECT / stack
    found: list[StaleLock] = []
    for file in sorted(folder.glob("*.json")):
        try:
            lock = json.loads(file.read_text())
            pid, host = int(lock["pid"]), lock["hostname"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # being written, or gone since: Pulumi has the word about it
        if host == socket.gethostname() and not _pulumi_runs(pid):
            found.append(StaleLock(file=file, pid=pid))
    return found


def _pulumi_runs(pid: int) -> bool:
    """Whether this is a process of Pulumi: the number may have been given to another since."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and PULUMI in process.name()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
