"""Parameters of a task's Python function, and which of them Airflow fills."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from dag_builder import airflow_internals
from dag_builder.references import ABSOLUTE, Argument, Output

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from dag_builder.plan import TaskPlan


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """A function's parameters; `takes_any` if it has ``**kwargs``."""

    names: tuple[str, ...]
    required: tuple[str, ...]
    takes_any: bool


def parameters_of(function: Callable[..., Any]) -> Parameters:
    """The parameters of a function. One that Python cannot inspect is taken to accept anything."""
    try:
        return _parameters_of(function)
    except TypeError:  # an object that can be called but has no hash, and so no place in the cache
        return _parameters_of.__wrapped__(function)


@functools.lru_cache(maxsize=4096)
def _parameters_of(function: Callable[..., Any]) -> Parameters:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return Parameters(names=(), required=(), takes_any=True)
    named = [
        parameter
        for parameter in parameters
        if parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}
    ]
    return Parameters(
        names=tuple(parameter.name for parameter in named),
        required=tuple(p.name for p in named if p.default is p.empty),
        takes_any=any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters),
    )


@functools.cache
def context_names() -> frozenset[str]:
    """The names that Airflow fills by itself: ``ti``, ``ds``, ``params``, …."""
    return airflow_internals.context_keys()


@dataclass(frozen=True, kw_only=True)
class Unfilled:
    """Parameters of a function that nothing fills, and those that several upstream tasks could."""

    missing: tuple[str, ...] = ()
    ambiguous: Mapping[str, Sequence[str]] = field(default_factory=dict[str, "Sequence[str]"])


def fill_function(
    task: TaskPlan, upstream: Mapping[str, Sequence[str]], mapped: Collection[str]
) -> Unfilled:
    """Fill the parameters of a function by their names; return those that nothing fills.

    `upstream` maps the names of upstream tasks to their ids, `mapped` are the arguments of the
    mapped groups around it.
    """
    parameters = parameters_of(cast("Callable[..., Any]", task.function))
    filled = {*task.arguments, *(task.expand or ())}
    ambiguous: dict[str, Sequence[str]] = {}
    for name in parameters.names:
        if name in filled:
            continue
        if name in upstream:
            if len(upstream[name]) > 1:
                ambiguous[name] = upstream[name]
                continue
            task.arguments[name] = Output(task=f"{ABSOLUTE}{upstream[name][0]}")
            task.has_references = True
        elif name in mapped:
            task.arguments[name] = Argument(name=name)
            task.has_references = True
    sets = task.expand_kwargs
    if task.incomplete or (sets is not None and not isinstance(sets, list)):
        return Unfilled(ambiguous=ambiguous)
    filled = {*task.arguments, *(task.expand or ()), *ambiguous}
    context = context_names()
    missing = (
        name
        for name in parameters.required
        if name not in filled and name not in context and _is_lacking(name, sets)
    )
    return Unfilled(missing=tuple(missing), ambiguous=ambiguous)


def _is_lacking(name: str, sets: Any) -> bool:
    """Whether some of a mapped task's sets of arguments lacks an argument."""
    if sets is None:
        return True
    return any(isinstance(item, dict) and name not in item for item in cast("list[Any]", sets))
