"""Parses durations and sizes in Compose's format: ``1h30m``, ``512m``."""

from __future__ import annotations

import re

_DURATION_PART = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|us|µs|ns|h|m|s)")
_SECONDS = {"h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?) ?(?P<unit>[kmgtp]?)i?b?", re.IGNORECASE)
_UNITS = "bkmgtp"

KIBI = 1_024


def seconds(text: str) -> float | None:
    """Return a duration in seconds; None if Docker would not accept ``text``."""
    parts = list(_DURATION_PART.finditer(text))
    if not parts or "".join(part.group() for part in parts) != text:
        return None
    return sum(float(part["number"]) * _SECONDS[part["unit"]] for part in parts)


def size_bytes(value: object) -> int | None:
    """Return a size in bytes (1k is 1024); None if Docker would not accept ``value``."""
    found = None if isinstance(value, bool) else _SIZE.fullmatch(str(value))
    if found is None:
        return None
    return int(float(found["number"]) * KIBI ** _UNITS.index(found["unit"].lower() or "b"))
