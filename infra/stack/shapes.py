"""Shapes of values in the compose file: each has a description and a check."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from infra.stack.quantities import seconds, size_bytes

if TYPE_CHECKING:
    from collections.abc import Callable


def _as_it_is(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    return value


@dataclass(frozen=True)
class Shape:
    """``valid`` completes "valid: …"; ``write`` converts a fitting value to format 3.12.

    ``entry`` is the shape of each entry of a list or an object, so that a report names the entry.
    """

    valid: str
    fits: Callable[[Any], bool]
    write: Callable[[Any], Any] = field(default=_as_it_is)
    entry: Shape | None = None


_WHOLE_DIGITS = re.compile(r"[0-9]{1,10}")
_MAX_WHOLE = 2**31 - 1
_DECIMAL = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})?")
_LEAST_PROCESSORS = 0.001
"""What swarmkit takes at least, but for 0, which sets no limit (``validateResources``)."""

_LEAST_MEMORY_BYTES = 6 * 1_024**2
"""What an engine takes at least for a container (moby's ``linuxMinMemory``)."""

_LEAST_EXPONENT = 1e21
"""Go writes a number without a fraction and with an exponent from here on."""

_YES, _NO = ("true", "yes", "y", "on"), ("false", "no", "n", "off")
"""How Compose lets a text mean true and false."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, str) for entry in cast("list[object]", value)
    )


def _is_key(value: object) -> bool:
    return isinstance(value, str) and value.partition("=")[0] == value != ""


def _is_table(value: object) -> bool:
    if isinstance(value, dict):
        entries = cast("dict[object, object]", value)
        return all(entry is None or _is_scalar(entry) for entry in entries.values()) and all(
            map(_is_key, entries)
        )
    return _is_texts(value) and not any(
        entry.startswith("=") or not entry for entry in cast("list[str]", value)
    )


def _is_whole(value: object) -> bool:
    return (
        isinstance(value, int | str)
        and not isinstance(value, bool)
        and _WHOLE_DIGITS.fullmatch(str(value)) is not None
        and int(value) <= _MAX_WHOLE
    )


def _is_decimal(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    found = _DECIMAL.fullmatch(str(value))
    return found is not None and (float(value) == 0 or float(value) >= _LEAST_PROCESSORS)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool) or (isinstance(value, str) and value.lower() in (*_YES, *_NO))


def _is_distinct(value: list[object]) -> bool:
    return all(entry not in value[:index] for index, entry in enumerate(value))


def list_of(entry: Shape, what: str) -> Shape:
    """Return the shape of a list of ``entry``, each once; ``what`` names them for the report."""

    def fits(value: object) -> bool:
        if not isinstance(value, list):
            return False
        entries = cast("list[object]", value)
        return _is_distinct(entries) and all(map(entry.fits, entries))

    def write(value: list[Any]) -> list[Any]:
        return [entry.write(item) for item in value]

    return Shape(f"a list of {what}, each once", fits, write, entry)


def one_of(*values: str) -> Shape:
    """Return the shape of a value that is one of few."""
    return Shape(", ".join(values), lambda value: isinstance(value, str) and value in values)


def matching(pattern: str, valid: str) -> Shape:
    """Return the shape of a text that matches a regular expression as a whole."""
    compiled = re.compile(pattern, re.ASCII)
    return Shape(
        valid, lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None
    )


def _texts(value: Any) -> dict[str, str]:  # noqa: ANN401 - a table
    """Normalise a table: every value becomes a text, as in the container."""
    if isinstance(value, list):
        pairs = (entry.partition("=") for entry in cast("list[str]", value))
        return {name: text for name, _, text in pairs}
    return {str(name): _text(entry) for name, entry in cast("dict[str, object]", value).items()}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < _LEAST_EXPONENT:
        return str(int(value))
    return "" if value is None else str(value)


TEXT = Shape("a text", lambda value: isinstance(value, str))
FLAG = Shape(
    "true or false",
    _is_flag,
    lambda value: value.lower() in _YES if isinstance(value, str) else value,
)
WHOLE = Shape(f"a whole number up to {_MAX_WHOLE}", _is_whole, int)
DECIMAL = Shape("a number such as 0.5", _is_decimal, str)
RATIO = Shape("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1)
TEXTS = list_of(TEXT, "texts")
PROFILES = Shape("a list of texts", _is_texts, entry=TEXT)
WORDS = Shape("a text or a list of texts", lambda value: isinstance(value, str) or _is_texts(value))
TABLE = Shape("an object of texts, or a list of KEY=VALUE", _is_table, _texts)
OBJECT = Shape("an object", lambda value: isinstance(value, dict))
LIST = Shape("a list", lambda value: isinstance(value, list))
DURATION = Shape(
    "a duration such as 90s or 1h30m",
    lambda value: isinstance(value, str) and seconds(value) is not None,
)
SIZE = Shape("a size such as 512m or 2g", lambda value: size_bytes(value) is not None, str)
MEMORY = Shape(
    "a size from 6m on, such as 512m or 2g",
    lambda value: (size_bytes(value) or 0) >= _LEAST_MEMORY_BYTES,
    str,
)
