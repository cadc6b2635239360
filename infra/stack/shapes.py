"""Shapes of values in the compose file: each has a description and a check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from infra.stack.quantities import seconds, size_bytes

if TYPE_CHECKING:
    from collections.abc import Callable


def _as_it_is(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    return value


@dataclass(frozen=True)
class Shape:
    """``valid`` completes "valid: …"; ``write`` converts a fitting value to format 3.12."""

    valid: str
    fits: Callable[[Any], bool]
    write: Callable[[Any], Any] = field(default=_as_it_is)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, str) for entry in cast("list[object]", value)
    )


def _is_table(value: object) -> bool:
    if isinstance(value, dict):
        entries = cast("dict[object, object]", value)
        return all(entry is None or _is_scalar(entry) for entry in entries.values())
    return _is_texts(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool) and str(value).isdigit()


def _is_decimal(value: object) -> bool:
    try:
        return not isinstance(value, bool) and float(cast("str", value)) >= 0
    except (TypeError, ValueError):
        return False


def _texts(value: Any) -> dict[str, str]:  # noqa: ANN401 - a table
    """Normalise a table: every value becomes a text, as in the container."""
    if isinstance(value, list):
        pairs = (entry.partition("=") for entry in cast("list[str]", value))
        return {name: text for name, _, text in pairs}
    return {str(name): _text(entry) for name, entry in cast("dict[str, object]", value).items()}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _hosts(value: Any) -> list[str]:  # noqa: ANN401 - a table
    if isinstance(value, list):
        return [entry.replace("=", ":", 1) for entry in cast("list[str]", value)]
    return [f"{name}:{address}" for name, address in cast("dict[str, str]", value).items()]


TEXT = Shape("a text", lambda value: isinstance(value, str))
SCALAR = Shape("a text or a number", _is_scalar)
FLAG = Shape(
    "true or false",
    lambda value: value in (True, False, "true", "false") and not _is_number(value),
    lambda value: value in (True, "true"),
)
WHOLE = Shape("a whole number", _is_whole, int)
DECIMAL = Shape("a number such as 0.5", _is_decimal, str)
NUMBER = Shape("a number", _is_number)
TEXTS = Shape("a list of texts", _is_texts)
WORDS = Shape("a text or a list of texts", lambda value: isinstance(value, str) or _is_texts(value))
TABLE = Shape("an object of texts, or a list of KEY=VALUE", _is_table, _texts)
HOSTS = Shape("an object of addresses, or a list of NAME:ADDRESS", _is_table, _hosts)
OBJECT = Shape("an object", lambda value: isinstance(value, dict))
LIST = Shape("a list", lambda value: isinstance(value, list))
NAMES = Shape("a list or an object", lambda value: isinstance(value, list | dict))
DURATION = Shape(
    "a duration such as 90s or 1h30m",
    lambda value: isinstance(value, str) and seconds(value) is not None,
)
SIZE = Shape("a size such as 512m or 2g", lambda value: size_bytes(value) is not None, str)
