"""The pinned versions of the programs that set-up gets, and how versions compare."""

from __future__ import annotations

import re

PULUMI = "3.256.0"
"""The same as the Python SDK's in pyproject.toml; the newest that is whole as a Go module."""

COMPOSE = "2.40.3"
COMPOSE_MINIMUM = "2.24.0"
"""The first with `!reset` and with `required: false` in `env_file` and `depends_on`."""

UV = "0.13.9"
UV_MINIMUM = "0.9.0"

GO = "1.25.11"
"""The least that the pinned Pulumi module builds with, and the toolchain that is fetched."""

Version = tuple[int, ...]


def parse(text: str) -> Version | None:
    """Return the first dotted number in a program's answer: `v3.256.0` is (3, 256, 0)."""
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in match.groups()) if match else None


def at_least(text: str, minimum: str) -> bool:
    """Whether the version in `text` is `minimum` or newer."""
    found, wanted = parse(text), parse(minimum)
    return found is not None and wanted is not None and found >= wanted


def compatible(text: str, wanted: str) -> bool:
    """Whether the version in `text` is `wanted` or newer within the same major version."""
    found, least = parse(text), parse(wanted)
    return found is not None and least is not None and found[0] == least[0] and found >= least
