"""Reads the keys beside a function that is decorated with ``@task_group``."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from dag_builder.errors import NOTHING, Path
from dag_builder.fields import GROUP_FIELDS
from dag_builder.read.argument_names import check_function
from dag_builder.read.argument_types import (
    ANYTHING,
    ArgumentType,
    read_argument,
    type_of_annotation,
)
from dag_builder.read.defaults import read_default_args
from dag_builder.read.expansion import read_mapping
from dag_builder.read.keys import refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dag_builder.plan import TaskPlan
    from dag_builder.read.task_context import TaskContext

#: Keys that are not arguments of Airflow's group.
_OWN = ("callable", "arguments", "partial", "expand", "expand_kwargs", "upstream", "downstream")
_OF_GROUPS = tuple(key for key in GROUP_FIELDS if key not in {"tasks", "chains", *_OWN})


def read_group_function(
    context: TaskContext, task: TaskPlan, given: Mapping[str, Any], path: Path
) -> None:
    """Read the arguments of a function by its annotations, and those of the group that it makes."""
    keys = (*_OWN, *_OF_GROUPS)
    unknown = [key for key in given if key not in keys]
    refuse_unknown(context.problems, path, "a group", unknown, keys, first=keys)
    for key in _OF_GROUPS:
        if key == "default_args" or key not in given:
            continue
        found = context.reader.read(GROUP_FIELDS[key].kind, given[key], (*path, key))
        if found is not NOTHING and found is not None:
            task.kwargs[key] = found
    default_args = read_default_args(context, given.get("default_args"), path)
    if default_args:
        task.kwargs["default_args"] = default_args
    for key in ("arguments", "partial"):
        _read_arguments(context, task, given.get(key), (*path, key))
    read_mapping(context, task, given, path)
    check_function(context, task, given, path)
    for place in ("arguments", "expand", "expand_kwargs"):
        context.note_references(task, getattr(task, place), (*path, place))


def _read_arguments(context: TaskContext, task: TaskPlan, given: object, path: Path) -> None:
    types = _types(cast("Callable[..., Any]", task.function))
    for name, item in context.values_by_name(task, given, path).items():
        expected = types.get(name, ANYTHING)
        task.arguments[name] = read_argument(context.reader, expected, item, (*path, name))


def _types(function: Callable[..., Any]) -> dict[str, ArgumentType]:
    parameters = inspect.signature(function).parameters
    return {name: type_of_annotation(parameter) for name, parameter in parameters.items()}
