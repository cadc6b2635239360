"""Parses durations and sizes in Compose's format: ``1h30m``, ``512m``."""

from __future__ import annotations

import re

_DURATION_PART = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>ms|us|µs|ns|h|m|s)")
_SECONDS = {"h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_SIZE = re.compile(
    r"(?P<number>[0-9]+(?:\.[0-9]+)?) ?(?:(?P<unit>[kmgtp])(?:i?b)?|b)?", re.IGNORECASE | re.ASCII
)
_UNITS = "bkmgtp"

KIBI = 1_024
_MAX = 2**63
"""Docker keeps sizes in bytes, and durations in nanoseconds, in 64 bits with a sign."""


def seconds(text: str) -> float | None:
    """Return a duration in seconds; None if Docker would not accept ``text``."""
    parts = list(_DURATION_PART.finditer(text))
    if not parts or "".join(part.group() for part in parts) != text:
        return None
    total = sum(float(part["number"]) * _SECONDS[part["unit"]] for part in parts)
    return total if total * 1e9 < _MAX else None


def size_bytes(value: object) -> int | None:
    """Return a size in bytes (1k is 1024); None if Docker would not accept ``value``."""
    found = None if isinstance(value, bool) else _SIZE.fullmatch(str(value))
    if found is None:
        return None
    size = float(found["number"]) * KIBI ** _UNITS.index((found["unit"] or "b").lower())
    return int(size) if size < _MAX else None
