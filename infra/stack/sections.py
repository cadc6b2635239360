"""Checks an object of the compose file against its section, and converts it for the swarm."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, cast

from infra.stack.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.stack.compose_keys import Section

_SHOWN_CHARACTERS = 80


def section_problems(path: str, value: object, section: Section) -> Iterator[Problem]:
    """Check an object's keys and the shape of each value; null is a key's default."""
    if value is None:
        return
    if not isinstance(value, dict):
        yield Problem(path=path, given=shown(value), valid="valid: an object")
        return
    for key, entry in cast("dict[object, object]", value).items():
        name = str(key)
        place = f"{path}.{name}" if path else name
        if name in section.refused:
            refusal = section.refused[name]
            yield Problem(
                path=place, valid=f"it cannot be used: {refusal.reason}", advice=refusal.advice
            )
        elif name in section.taken:
            shape = section.taken[name]
            if entry is not None and not shape.fits(entry):
                yield Problem(path=place, given=shown(entry), valid=f"valid: {shape.valid}")
        elif name not in section.laptop and not name.startswith("x-"):
            yield Problem(path=place, valid=f"Compose has no such key{_similar(name, section)}")


def write_section(value: Mapping[str, Any], section: Section) -> dict[str, Any]:
    """Return the supported keys of an object without problems, in format 3.12."""
    return {
        key: section.taken[key].write(entry)
        for key, entry in value.items()
        if key in section.taken and entry is not None
    }


def shown(value: object) -> str:
    """Return a value of the wrong shape for display; an object may contain a secret."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _similar(name: str, section: Section) -> str:
    close = difflib.get_close_matches(name, sorted(section.keys), n=1)
    return f"; did you mean {close[0]}?" if close else ""
