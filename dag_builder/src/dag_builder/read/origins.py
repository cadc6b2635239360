"""Records how the values of a DAG are made, so that they can be written as Python again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from dag_builder.errors import NOTHING, Path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, kw_only=True)
class Called:
    """A value that a class or function made of these arguments."""

    factory: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A value that was given by its import path."""

    path: str


@dataclass(frozen=True, kw_only=True)
class FromEnvironment:
    """The value of an environment variable, or its default; `as_json` if it was read as JSON."""

    name: str
    default: Any = NOTHING
    as_json: bool = False


@dataclass(frozen=True, kw_only=True)
class Expression:
    """A value that is written as this code, which uses these modules."""

    code: str
    modules: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class WithBaseUrl:
    """A text in which `mark` is in place of the beginning of links to Airflow's pages."""

    text: str
    mark: str


Origin = Called | Imported | FromEnvironment | Expression | WithBaseUrl


class _Text(str):
    """Text with an identity of its own."""

    __slots__ = ()


class _Integer(int):
    """A number with an identity of its own."""


class _Float(float):
    """A number with an identity of its own."""


_OF_THEIR_OWN: dict[type, Callable[[Any], Any]] = {str: _Text, int: _Integer, float: _Float}
#: Values that equal ones share.
_SHARED = (bool, type(None), bytes)


def copied(value: Any) -> Any:
    """Return a value with copies of the mappings and lists in it, and all else as it is."""
    if type(value) is dict:
        items = cast("dict[Any, Any]", value).items()
        return {key: copied(item) for key, item in items}
    if type(value) in {list, tuple}:
        return type(value)(copied(item) for item in cast("list[Any]", value))
    return value


@dataclass(kw_only=True)
class Origins:
    """The origins of values, by the values' id(). The values are kept, so that no id is reused."""

    _found: dict[int, tuple[Any, Origin]] = field(default_factory=dict[int, "tuple[Any, Origin]"])
    #: Where each text and number with an origin was given: it must be in the code that is written.
    places: dict[int, Path] = field(default_factory=dict[int, Path])
    #: The places of values whose origins cannot be kept.
    lost: list[Path] = field(default_factory=list[Path])

    def add(self, value: Any, origin: Origin, path: Path) -> Any:
        """Note the origin of a value. Returns the value, which is a copy if equal ones are shared.

        A number or text that is given by an import path keeps its value and its origin.
        """
        if isinstance(value, _SHARED):
            self.lost.append(path)
            return value
        kept = value
        if type(value) in _OF_THEIR_OWN:
            kept = _OF_THEIR_OWN[type(value)](value)
            self.places[id(kept)] = path
        self._found[id(kept)] = kept, origin
        return kept

    def of(self, value: object) -> Origin | None:
        """Return the origin of a value, if it has one."""
        found = self._found.get(id(value))
        return found[1] if found else None
