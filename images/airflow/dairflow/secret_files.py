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


def values() -> Iterator[str]:
    """Yield every secret that this process can read."""
    try:
        names = sorted(entry.name for entry in folder().iterdir() if entry.is_file())
    except OSError:
        return
    for name in names:
        try:
            secret = read(name)
        except UnicodeDecodeError:
            continue  # a binary file of the user's cannot be part of a text
        if secret:
            yield secret
