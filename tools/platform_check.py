"""The first step: whether set-up can do its work on this machine."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools import versions
from tools.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tools.host import Host
    from tools.paths import Paths

FIRST_TIME_BYTES = 12 * 1024**3
"""Images 3 GB, a cluster's volumes 4 GB, Go's caches 3 GB, Python 2 GB: measured, rounded up."""
LATER_BYTES = 2 * 1024**3
DOCKER_FOLDER = Path("/var/lib/docker")

UNUSABLE_IN_PATHS: Mapping[str, str] = {":": "a colon", "\n": "a line break"}
STATE_ADVICE = (
    "Set-up keeps programs, keys and the stacks' state there. Use a clone that belongs to you, on "
    "a disk that is not mounted read-only."
)
CACHE_ADVICE = (
    "Set-up keeps what it builds there, for all clones. Make it writable, or set XDG_CACHE_HOME "
    "to a folder that is."
)

REQUIRED_PROGRAMS: Mapping[str, str] = {
    "docker": "Docker Desktop or Docker Engine 20.10 or newer, running",
    "uv": f"uv {versions.UV_MINIMUM} or newer",
    "pulumi": f"Pulumi {versions.PULUMI} or newer",
    "ssh": "the OpenSSH client",
}
HOMEBREW: Mapping[str, str] = {
    "docker": "brew install --cask docker-desktop   # then start Docker Desktop once",
    "uv": "brew install uv",
    "pulumi": "brew install pulumi/tap/pulumi",
    "ssh": "brew install openssh",
}


@dataclass(frozen=True, kw_only=True)
class Platform:
    """A machine on which set-up can install what is missing, or on which nothing is missing."""

    paths: Paths
    host: Host
    find: Callable[[str], str | None] = shutil.which
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free
    name: str = "platform"

    def check(self) -> str | None:
        """Return the platform's name; raises SetupError with everything that is missing."""
        problems = [*self._path(), *self._writable(), *self._programs(), *self._space()]
        if problems:
            raise SetupError("\n".join(("This machine cannot be set up as it is.", *problems)))
        return f"{self.host.distribution or self.host.system} {self.host.architecture}"

    def install(self) -> None:
        """Do nothing: `check` either passes or raises."""

    def _programs(self) -> list[str]:
        """Return what to install by hand where set-up cannot: no apt, or no root."""
        if self.host.can_install:
            return []
        missing = [name for name in REQUIRED_PROGRAMS if self.find(name) is None]
        if not missing:
            return []
        system = self.host.distribution or self.host.system
        if self.host.system == "Darwin":
            why = "Set-up installs by itself only on Debian and Ubuntu. On macOS, type:"
            return [why, *(f"    {HOMEBREW[name]}" for name in missing)]
        if self.host.has_apt:
            return [
                "You are not root here, and there is no `sudo`. As root, type:",
                "    apt-get install sudo && adduser YOUR-NAME sudo",
                "and sign in again; or run `make up` as root. Without either, these must be there:",
                *(f"    {name}: {REQUIRED_PROGRAMS[name]}" for name in missing),
            ]
        return [
            f"Set-up installs by itself only on Debian and Ubuntu, and this is {system}.",
            "Install these, and put them on PATH:",
            *(f"    {name}: {REQUIRED_PROGRAMS[name]}" for name in missing),
        ]

    def _path(self) -> list[str]:
        """Return what is wrong with the clone's own path."""
        found = [name for sign, name in UNUSABLE_IN_PATHS.items() if sign in self._repository]
        return [
            f"The path of this clone, {self._repository!r}, contains {name}, which PATH and "
            "Docker's mounts cannot express. Move the project to another folder."
            for name in found
        ]

    def _writable(self) -> list[str]:
        """Return the folders that set-up writes to and may not."""
        advice = {self.paths.state: STATE_ADVICE, self.paths.cache: CACHE_ADVICE}
        return [
            f"The folder {_nearest(folder)} is not writable by you. {text}"
            for folder, text in advice.items()
            if not os.access(_nearest(folder), os.W_OK | os.X_OK)
        ]

    @property
    def _repository(self) -> str:
        return str(self.paths.repository)

    def _space(self) -> list[str]:
        first_time = not self.paths.python.exists()
        needed = FIRST_TIME_BYTES if first_time else LATER_BYTES
        problems: list[str] = []
        folders = [self.paths.repository, _nearest(self.paths.cache), _nearest(DOCKER_FOLDER)]
        by_disk = {folder.stat().st_dev: folder for folder in reversed(folders)}
        for folder in by_disk.values():
            free = self.free_bytes(folder)
            if free < needed:
                problems.append(
                    f"{needed / 1024**3:.0f} GiB are needed on the disk of {folder}, and "
                    f"{free / 1024**3:.1f} GiB are free. Make room there; `docker system df` and "
                    "`du -sh ~/.cache/*` show what can go."
                )
        return problems


def _nearest(folder: Path) -> Path:
    """Return the folder itself, or its first parent that this user can look at."""
    while True:
        try:
            if folder.exists():
                return folder
        except PermissionError:
            pass
        folder = folder.parent
