"""The name of the laptop's Compose project, which its containers and volumes carry."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.process import probe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tools.paths import Paths

VARIABLE = "COMPOSE_PROJECT_NAME"
SHARED_NAME = "dairflow"
"""The compose file's own, which every clone would have."""
DATABASE_VOLUME = f"{SHARED_NAME}_postgres"
DIGITS = 6
DOCKER_TIMEOUT_SECONDS = 20

_SET = re.compile(rf"^\s*{VARIABLE}\s*=\s*['\"]?([a-z0-9][a-z0-9_-]*)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class LaptopProject:
    """A name for this clone alone, in the `.env` file that Compose reads.

    Two clones with one name share containers and volumes: `make dev` in one replaces the other's
    services, and `make dev-reset` removes its database.
    """

    paths: Paths
    say: Callable[[str], None]
    volume_exists: Callable[[str], bool] = lambda name: (
        probe(["docker", "volume", "inspect", name], timeout=DOCKER_TIMEOUT_SECONDS).returncode == 0
    )
    name: str = "laptop's project"

    def check(self) -> str | None:
        """Return the project's name when `.env` or the environment sets one."""
        if given := os.environ.get(VARIABLE):
            return f"{given} ({VARIABLE})"
        found = _SET.search(self._text())
        return found.group(1) if found else None

    def install(self) -> None:
        """Add a name to `.env`: the shared one if this clone's data have it already."""
        text = self._text()
        name = SHARED_NAME if self._has_data() else f"{SHARED_NAME}-{self._digest()}"
        self.say(f"• {self.name}: names the laptop's containers and volumes {name}, in .env")
        separator = "" if text.endswith("\n") or not text else "\n"
        self._file.write_text(f"{text}{separator}{VARIABLE}={name}\n")

    def _has_data(self) -> bool:
        """Whether this clone was used before it had a name of its own."""
        return (self.paths.state / "dev-secrets").is_dir() and self.volume_exists(DATABASE_VOLUME)

    def _digest(self) -> str:
        return hashlib.sha256(os.fsencode(self.paths.repository)).hexdigest()[:DIGITS]

    def _text(self) -> str:
        return self._file.read_text() if self._file.exists() else ""

    @property
    def _file(self) -> Path:
        return self.paths.repository / ".env"
