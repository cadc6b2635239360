"""Reads YAML values as objects and lists."""

from __future__ import annotations

from typing import Any, cast


def is_object(value: object) -> bool:
    """Whether a value is an object, with any content."""
    return isinstance(value, dict)


def as_object(value: object) -> dict[str, Any]:
    """Return an object with its keys as texts; empty if ``value`` is not one."""
    if not isinstance(value, dict):
        return {}
    return {str(key): entry for key, entry in cast("dict[object, Any]", value).items()}


def as_list(value: object) -> list[Any]:
    """Return a list; empty if ``value`` is not one."""
    return list(cast("list[Any]", value)) if isinstance(value, list) else []
