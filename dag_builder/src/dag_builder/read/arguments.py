"""Reads a task's arguments."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

from dag_builder.errors import NOTHING, Path, listed
from dag_builder.read.argument_names import check_function, check_required, refuse_argument
from dag_builder.read.defaults import inherit
from dag_builder.read.expansion import read_mapping
from dag_builder.read.task_context import OWN_KEYS, TaskContext
from dag_builder.read.values import SCALARS
from dag_builder.references import references_in

if TYPE_CHECKING:
    from dag_builder.plan import TaskPlan
    from dag_builder.read.operators import (
        Signature,
    )

_ARGUMENT_KEYS = frozenset({"arguments", "partial", "expand", "expand_kwargs", "default_args"})
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
    """Read what stands beside what makes the task. `defaults` are names of inherited arguments."""
    context.used[id(signature)] = signature
    arguments, kinds, kwargs = signature.arguments, signature.kinds, task.kwargs
    read, plain = context.reader.read, True
    for key, value in given.items():
        if key in OWN_KEYS:
            continue
        if key not in arguments:
            refuse_argument(context, task, signature, key, path)
            continue
        kind = kinds.get(key)
        if kind is None:
            if type(value) in SCALARS:
                kwargs[key] = value
                continue
            found = context.reader.value(value, (*path, key))
            plain = False
        else:
            found = read(kind, value, (*path, key))
        if found is not NOTHING:
            kwargs[key] = found
    if not given.keys().isdisjoint(_ARGUMENT_KEYS):
        _own_arguments(context, task, given, path)
        plain = False
    elif task.function is None and not given.keys().isdisjoint(_FUNCTION_KEYS):
        _own_arguments(context, task, given, path)
    if context.layered or "default_args" in given:
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
        _refuse_function_keys(context, given, path)
    read_mapping(context, task, given, path)
    if task.function is not None and "arguments" in given:
        _named_values(context, task, task.arguments, given["arguments"], (*path, "arguments"))
    if "partial" in given:
        into = task.kwargs if task.function is None else task.arguments
        _named_values(context, task, into, given["partial"], (*path, "partial"))
    if task.function is not None:
        check_function(context, task, given, path)


def _refuse_function_keys(context: TaskContext, given: Mapping[str, Any], path: Path) -> None:
    for key in ("arguments", "decorator", "python"):
        if key in given:
            context.problems.add(
                (*path, key),
                f"{key!r} is for a Python function; an operator's arguments stand beside "
                "'operator'",
                given=given[key],
                on_key=True,
            )


def _named_values(
    context: TaskContext, task: TaskPlan, into: dict[str, Any], given: object, path: Path
) -> None:
    """Values for a function's parameters, or for an operator's arguments."""
    if given is None:
        return
    if not isinstance(given, Mapping):
        context.problems.add(path, "this must be a mapping", given=given)
        return
    signature = task.signature if task.function is None else None
    for name, item in cast("Mapping[str, Any]", given).items():
        if signature and name not in signature.arguments:
            refuse_argument(context, task, signature, name, path)
            continue
        kind = signature.kinds.get(name) if signature else None
        where = (*path, name)
        found = (
            context.reader.read(kind, item, where) if kind else context.reader.value(item, where)
        )
        if found is not NOTHING:
            into[name] = found


def _note_references(
    context: TaskContext, task: TaskPlan, signature: Signature, path: Path
) -> None:
    for place, values in (
        ("", task.kwargs),
        ("arguments", task.arguments),
        ("expand", task.expand),
        ("expand_kwargs", task.expand_kwargs),
    ):
        for reference in references_in(values):
            task.has_references = True
            where = (*path, place) if place else path
            context.references.append((task, "$reference", reference, where))
    if task.has_references and task.function is None:
        templated = {*signature.operator.template_fields, *_BUILDER_FIELDS}
        for name, value in task.kwargs.items():
            if name not in templated and any(True for _ in references_in(value)):
                context.problems.add(
                    (*path, name),
                    f"{signature.name} cannot take a task's output as {name!r}",
                    valid=listed(signature.operator.template_fields),
                    hint="only an operator's template fields are filled when it runs",
                )
