"""Reads settings that are not checked yet, for checks between settings."""

from __future__ import annotations

import re
from ipaddress import IPv4Network


def number(given: object, default: int) -> int:
    """Return a whole number of up to nine digits; the default for anything else."""
    text = str(default if given is None else given)
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else default


def network(given: object) -> IPv4Network | None:
    """Return an IPv4 network or address; None for anything else."""
    try:
        return IPv4Network(str(given))
    except ValueError:
        return None
