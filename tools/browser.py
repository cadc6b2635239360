"""The browser by which the tests look at the pages: Debian's Chromium and its driver."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tools.packages import Apt

PACKAGES = {Path("/usr/bin/chromium"): "chromium", Path("/usr/bin/chromedriver"): "chromium-driver"}


@dataclass(frozen=True, kw_only=True)
class Browser:
    """A headless browser, for the tests alone."""

    apt: Apt
    programs: dict[Path, str]
    """Each program, and the package that brings it."""
    name: str = "browser"

    def check(self) -> str | None:
        """Return the browser's path when it and its driver are here."""
        return None if self._missing() else str(next(iter(self.programs)))

    def install(self) -> None:
        """Install what is missing."""
        self.apt.install(self._missing(), why=self.name)

    def _missing(self) -> list[str]:
        return [package for program, package in self.programs.items() if not program.exists()]
