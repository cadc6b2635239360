"""The lock files' first lines, which say what a lock was made for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CONDA_LOCK = "conda_requirements.lock"
"""Conda's packages: URLs and digests, in the format of pixi and rattler."""
PIP_LOCK = "pip_requirements.lock"
"""PyPI's packages on top of those of `CONDA_LOCK`."""
PYPI_ONLY_LOCK = "pypi_only.lock"
"""PyPI's packages where no channel is used: what both requirement files ask for."""

_FACT = re.compile(r"# ([a-z]+): (.*)")


def facts(file: Path) -> dict[str, str]:
    """Return what a lock file says of itself; nothing for one that is not there."""
    if not file.exists():
        return {}
    found: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if fact := _FACT.fullmatch(line):
            found[fact[1]] = fact[2]
    return found


def write(file: Path, said: dict[str, str], body: str) -> None:
    """Write a lock file with what it says of itself."""
    lines = ["# Written by `make lock`; edit the requirement files instead."]
    lines += [f"# {key}: {value}" for key, value in said.items()]
    file.write_text("\n".join([*lines, body]), encoding="utf-8")
