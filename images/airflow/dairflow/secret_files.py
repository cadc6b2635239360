"""Docker's secrets: one file for each, in a folder that only this container has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def folder() -> Path:
    """Return the folder with the secrets."""
    return Path(os.environ.get("SECRETS", "/run/secrets"))


def read(name: str) -> str | None:
    """Return a secret without its final line break, or None if this service does not have it."""
    try:
        return (folder() / name).read_text().rstrip("\n") or None
    except OSError:
        return None


def elsewhere() -> list[Path]:
    """Return the files of secrets that the compose file puts outside of the folder."""
    return [Path(path) for path in os.environ.get("SECRET_FILES", "").splitlines() if path]


def values() -> Iterator[str]:
    """Yield every secret that this process can read."""
    try:
        files = sorted(entry for entry in folder().rglob("*") if entry.is_file())
    except OSError:
        files = []
    for file in (*files, *elsewhere()):
        try:
            secret = file.read_text().rstrip("\n")
        except (OSError, UnicodeDecodeError):
            continue  # a binary file of the user's cannot be part of a text
        if secret:
            yield secret
