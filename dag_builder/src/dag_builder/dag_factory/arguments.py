"""Arguments that dag-factory gives to operators and decorators, by their signatures."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

from dag_builder.fields import DAG_FIELDS, TASK_FIELDS
from dag_builder.read.functions import parameters_of
from dag_builder.read.imports import ImportPathError, import_object
from dag_builder.read.operators import OPERATORS, decorator_signature, signature_of

_CLASS_NAMES = {path.rpartition(".")[2]: name for name, path in OPERATORS.items()}


def known_arguments(given: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the arguments that the operators of a file take; None if one is not importable."""
    found: set[str] = set()
    for task in _tasks(given):
        operator = task.get("operator")
        if "decorator" in task or not isinstance(operator, str):
            return None
        try:
            name = operator.rpartition(".")[2]
            signature = signature_of(_CLASS_NAMES.get(name, operator))
        except ImportPathError:
            return None
        if signature.takes_any:
            return None
        found |= signature.arguments
    return frozenset(found)


def _tasks(given: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for dag in given.values():
        keys = cast("Mapping[str, Any]", dag if isinstance(dag, Mapping) else {})
        tasks: Any = keys.get("tasks") or []
        named = cast("Mapping[str, Any]", tasks if isinstance(tasks, Mapping) else {})
        for item in cast("list[Any]", list(named.values()) or tasks):
            if isinstance(item, Mapping):
                yield cast("Mapping[str, Any]", item)


def without_unknown(
    given: Mapping[str, Any], known: frozenset[str] | None, path: str, notes: list[str]
) -> dict[str, Any]:
    """``default_args`` without the keys that no task takes, which Airflow ignores."""
    if known is None:
        return dict(given)
    result: dict[str, Any] = {}
    for key, value in given.items():
        stem = key.removesuffix("_name").removesuffix("_file")
        if {key, stem}.isdisjoint(known | TASK_FIELDS.keys() | DAG_FIELDS.keys()):
            notes.append(f"{path}: {key!r} in default_args was left out: no task takes it")
        else:
            result[key] = value
    return result


def arguments_of_decorator(
    name: str, function: object, given: Collection[str]
) -> frozenset[str] | None:
    """Return which of the given arguments are those of ``@task.<name>`` and not of the function.

    If the decorator's package is not installed, the function's parameters decide. Returns None
    if the function cannot be imported either, or takes any argument.
    """
    try:
        arguments: frozenset[str] | None = decorator_signature(name).arguments
    except ImportPathError:
        arguments = None
    try:
        found: Any = import_object(str(function))
    except ImportPathError:
        return arguments
    parameters = parameters_of(found)
    if arguments is None:
        return None if parameters.takes_any else frozenset(given) - set(parameters.names)
    return arguments - set(parameters.names)
