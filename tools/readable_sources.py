"""The folders that the laptop's containers mount, readable by the containers' own user."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tools.paths import Paths

MOUNTED = ("dags", "dag_builder/src/dag_builder")


@dataclass(frozen=True, kw_only=True)
class ReadableSources:
    """The files of a clone made under a strict umask are closed to every other user."""

    paths: Paths
    say: Callable[[str], None]
    name: str = "laptop's DAGs"

    def check(self) -> str | None:
        """Return the folders when every user can read them."""
        return None if any(self._closed()) else " and ".join(MOUNTED)

    def install(self) -> None:
        """Open what is closed; nothing is made writable."""
        self.say(f"• {self.name}: chmod -R a+rX {' '.join(MOUNTED)}, so that containers read them")
        for path in self._closed():
            path.chmod(stat.S_IMODE(path.stat().st_mode) | _readable(path))

    def _closed(self) -> Iterator[Path]:
        for folder in (self.paths.repository / name for name in MOUNTED):
            for path in (folder, *folder.rglob("*")):
                if path.is_symlink() or "__pycache__" in path.parts or not path.exists():
                    continue
                if path.stat().st_mode & _readable(path) != _readable(path):
                    yield path


def _readable(path: Path) -> int:
    return 0o555 if path.is_dir() else 0o444
