"""Checks an object of the compose file against its section, and converts it for the swarm."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, cast

from infra.stack.problems import Problem
from infra.stack.yaml_values import as_list, as_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.stack.compose_keys import Section
    from infra.stack.shapes import Shape

_SHOWN_CHARACTERS = 80
_KEYS = "valid: a key of the Compose specification, or x-NAME, which the swarm does not get"


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
            yield from _misfits(place, entry, section.taken[name])
        elif name not in section.laptop and not name.startswith("x-"):
            yield Problem(path=place, valid=f"Compose has no such key{_similar(name, section)}")


def write_section(value: Mapping[str, Any], section: Section) -> dict[str, Any]:
    """Return the supported keys of an object without problems, in format 3.12."""
    return {
        key: section.taken[key].write(entry)
        for key, entry in value.items()
        if key in section.taken and entry is not None
    }


def _misfits(path: str, value: object, shape: Shape) -> Iterator[Problem]:
    """Name each entry that does not fit; the value as a whole, if that is what does not."""
    if value is None or shape.fits(value):
        return
    entries = {
        **{f"{path}[{index}]": entry for index, entry in enumerate(as_list(value))},
        **{f"{path}.{name}": entry for name, entry in as_object(value).items()},
    }
    part = shape.entry
    wrong = {place: entry for place, entry in entries.items() if part and not part.fits(entry)}
    for place, entry in (wrong or {path: value}).items():
        valid = part.valid if part and wrong else shape.valid
        yield Problem(path=place, given=shown(entry), valid=f"valid: {valid}")


def shown(value: object) -> str:
    """Return a value of the wrong shape for display; an object may contain a secret."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _similar(name: str, section: Section) -> str:
    close = difflib.get_close_matches(name, sorted(section.keys), n=1)
    return f"; did you mean {close[0]}?" if close else f"; {_KEYS}"
