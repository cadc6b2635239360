"""Reads a task's arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from dag_builder.errors import NOTHING, Path, listed
from dag_builder.read.argument_names import check_function, check_required, refuse_argument
from dag_builder.read.argument_types import ANYTHING, SCALARS, read_argument
from dag_builder.read.defaults import inherit
from dag_builder.read.expansion import read_mapping
from dag_builder.references import has_references

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from dag_builder.plan import TaskPlan
    from dag_builder.read.operators import (
        Signature,
    )
    from dag_builder.read.task_context import TaskContext

_ARGUMENT_KEYS = frozenset({"arguments", "partial", "expand", "expand_kwargs", "default_args"})
#: Keys that are read together with the defaults around the task.
_INHERITED_KEYS = frozenset({"default_args", "notify"})
_FUNCTION_KEYS = frozenset({"decorator", "python"})
_BUILDER_FIELDS = frozenset({"inlets", "outlets", "params"})


def read_arguments(  # noqa: C901 - the one loop over every value of every task: calls cost here
    context: TaskContext,
    task: TaskPlan,
    signature: Signature,
    given: Mapping[str, Any],
    path: Path,
    *,
    defaults: Collection[str],
) -> None:
    """Read a task's other keys as arguments. `defaults` are names of inherited arguments."""
    context.used[id(signature)] = signature
    plain_types, own_keys, kwargs = signature.plain, signature.builder_keys, task.kwargs
    plain = True
    for key, value in given.items():
        if key in own_keys:
            continue
        accepted = plain_types.get(key)
        if accepted is None:
            if not signature.accepts(key):
                refuse_argument(context, task, signature, key, path)
                continue
        elif type(value) in accepted:
            kwargs[key] = value
            continue
        found = read_argument(context.reader, signature.type_of(key), value, (*path, key))
        plain = plain and type(value) in SCALARS
        if found is not NOTHING:
            kwargs[key] = found
    if not given.keys().isdisjoint(_ARGUMENT_KEYS):
        _own_arguments(context, task, given, path)
        plain = False
    elif task.function is None and not given.keys().isdisjoint(_FUNCTION_KEYS):
        _own_arguments(context, task, given, path)
    if context.layered or not given.keys().isdisjoint(_INHERITED_KEYS):
        inherit(context, task, signature, given, path)
        plain = False
    if not signature.required <= kwargs.keys():
        check_required(context, task, signature, given, defaults)
    if not plain:
        _note_references(context, task, signature, path)


def _own_arguments(
    context: TaskContext, task: TaskPlan, given: Mapping[str, Any], path: Path
) -> None:
    """partial, expand, arguments and default_args of one task."""
    if task.function is None:
        _refuse_function_keys(context, cast("Signature", task.signature), given, path)
    read_mapping(context, task, given, path)
    if task.function is not None and "arguments" in given:
        _named_values(context, task, task.arguments, given["arguments"], (*path, "arguments"))
    if "partial" in given:
        into = task.kwargs if task.function is None else task.arguments
        _named_values(context, task, into, given["partial"], (*path, "partial"))
    if task.function is not None:
        check_function(context, task, given, path)


def _refuse_function_keys(
    context: TaskContext, signature: Signature, given: Mapping[str, Any], path: Path
) -> None:
    for key in ("arguments", "decorator", "python"):
        if key in given and key in signature.builder_keys:
            context.problems.add(
                (*path, key),
                f"{key!r} is for a Python function; an operator's arguments belong beside "
                "'operator'",
                given=given[key],
                on_key=True,
            )


def _named_values(
    context: TaskContext, task: TaskPlan, into: dict[str, Any], given: object, path: Path
) -> None:
    """Values for a function's parameters, or for an operator's arguments."""
    signature = task.signature if task.function is None else None
    for name, item in context.values_by_name(task, given, path).items():
        if signature and not signature.accepts(name):
            refuse_argument(context, task, signature, name, path)
            continue
        expected = signature.type_of(name) if signature else ANYTHING
        into[name] = read_argument(context.reader, expected, item, (*path, name))


def _note_references(
    context: TaskContext, task: TaskPlan, signature: Signature, path: Path
) -> None:
    for place, values in (
        ("", task.kwargs),
        ("arguments", task.arguments),
        ("expand", task.expand),
        ("expand_kwargs", task.expand_kwargs),
    ):
        where = (*path, place) if place else path
        context.note_references(task, values, where)
    if task.has_references and task.function is None:
        templated = {*signature.operator.template_fields, *_BUILDER_FIELDS}
        for name, value in task.kwargs.items():
            if name not in templated and has_references(value):
                context.problems.add(
                    (*path, name),
                    f"{signature.name} cannot take a task's output as {name!r}",
                    valid=listed(signature.operator.template_fields),
                    hint="only an operator's template fields are filled when it runs",
                )
