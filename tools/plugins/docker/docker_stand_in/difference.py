"""Which changes of the inputs require another build. None ever requires a replacement."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

from .values import Properties, Value, plain

_UNCOMPARED = frozenset({"registry.username", "registry.password"})
"""A new login builds no other image (pulumi-docker's documentation of both properties)."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Change(Enum):
    """What happened to one input."""

    ADDED = "added"
    DELETED = "deleted"
    UPDATED = "updated"


def changes(old: Properties, new: Properties) -> dict[str, Change]:
    """Each changed input's property path, in Pulumi's notation."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    found: dict[str, Change] = {}
    for path in sorted(before.keys() | after.keys()):
        if path in _UNCOMPARED or before.get(path) == after.get(path):
            continue
        if path not in before:
            found[path] = Change.ADDED
        elif path not in after:
            found[path] = Change.DELETED
        else:
            found[path] = Change.UPDATED
    return found


def _leaves(properties: Properties) -> list[tuple[str, Value]]:
    """Every value that is not itself a map, by its path."""
    found: list[tuple[str, Value]] = []
    for key, value in properties.items():
        opened = plain(value)
        if isinstance(opened, Mapping):
            found += [(_joined(key, below), leaf) for below, leaf in _leaves(opened)]
        else:
            found.append((_quoted(key), opened))
    return found


def _joined(key: str, below: str) -> str:
    return f"{_quoted(key)}{below}" if below.startswith("[") else f"{_quoted(key)}.{below}"


def _quoted(key: str) -> str:
    if _PLAIN_KEY.match(key):
        return key
    escaped = key.replace('"', '\\"')
    return f'["{escaped}"]'
