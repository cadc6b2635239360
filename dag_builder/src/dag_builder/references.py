"""References to values that do not exist before the DAG: another task's output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

#: A mapping with one of these keys refers to something else.
MARKERS = (
    "$output",
    "$argument",
    "$zip",
    "$concat",
    "$object",
    "$import",
    "$env",
    "$asset",
    "$duration",
    "$date",
)
#: The key under which Airflow keeps what a task returns.
RETURN_VALUE = "return_value"
#: Before a task's full id, if a bare name could mean a nearer task of the same name.
ABSOLUTE = "/"


@dataclass(frozen=True, kw_only=True)
class Output:
    """What the task of this name returns, once it has run.

    `key` picks one of multiple outputs; `functions` are applied, in order, to each item when a
    task is expanded over it.
    """

    task: str
    key: str = RETURN_VALUE
    functions: tuple[Callable[[Any], Any], ...] = ()

    def map(self, function: Callable[[Any], Any]) -> Output:
        """Apply `function` to each item (as Airflow's ``XComArg.map``)."""
        return replace(self, functions=(*self.functions, function))

    def __getitem__(self, key: str) -> Output:
        """One of multiple outputs."""
        return replace(self, key=key)

    # A class with __getitem__ but no __iter__ would loop for ever when iterated.
    __iter__ = None


@dataclass(frozen=True, kw_only=True)
class Combined:
    """Several outputs as one: item by item (``zip``) or one after the other (``concat``).

    `options` are further arguments of Airflow's method (``fillvalue``); `functions` are applied,
    in order, to each item.
    """

    how: str
    parts: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    functions: tuple[Callable[[Any], Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Argument:
    """The value that a mapped group's copy was made for."""

    name: str


def output(task: str, key: str = RETURN_VALUE) -> Output:
    """What the task named `task` returns, as the value of another task's argument.

    ``{"arguments": {"rows": output("extract")}}`` is what ``{"$output": "extract"}`` is in YAML.
    """
    return Output(task=task, key=key)


def argument(name: str) -> Argument:
    """The value of a mapped group's argument, within that group."""
    return Argument(name=name)


def references_in(
    value: object, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[Output | Argument, tuple[str | int, ...]]]:
    """Every Output and Argument within a value, however deep, with the path that leads to it."""
    if isinstance(value, Output | Argument):
        yield value, path
    elif isinstance(value, Combined):
        for index, part in enumerate(value.parts):
            yield from references_in(part, (*path, f"${value.how}", index))
    elif isinstance(value, Mapping):
        for key, item in cast("Mapping[Any, Any]", value).items():
            yield from references_in(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from references_in(item, (*path, index))


def has_references(value: object) -> bool:
    """Whether there is an Output or Argument within a value, however deep."""
    return any(True for _ in references_in(value))


def resolve(value: object, lookup: Callable[[Output | Argument], Any]) -> Any:
    """The value with each reference in it replaced by what `lookup` gives for it."""
    if isinstance(value, Output | Argument):
        return lookup(value)
    if isinstance(value, Combined):
        first, *rest = [resolve(part, lookup) for part in value.parts]
        found = getattr(first, value.how)(*rest, **value.options)
        for function in value.functions:
            found = found.map(function)
        return found
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {key: resolve(item, lookup) for key, item in items}
    if isinstance(value, list):
        return [resolve(item, lookup) for item in cast("list[Any]", value)]
    if isinstance(value, tuple):
        return tuple(resolve(item, lookup) for item in cast("tuple[Any, ...]", value))
    return value
