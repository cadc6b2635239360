"""Reads dynamic mapping: expand and expand_kwargs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from dag_builder.errors import NOTHING, Path
from dag_builder.plan import GroupPlan, TaskPlan
from dag_builder.read.argument_names import function_name, refuse_argument
from dag_builder.read.argument_types import ANYTHING, ArgumentType, is_marked, read_argument
from dag_builder.read.functions import parameters_of
from dag_builder.references import Argument, Combined, Output

if TYPE_CHECKING:
    from dag_builder.read.operators import (
        Signature,
    )
    from dag_builder.read.task_context import TaskContext


def read_mapping(
    context: TaskContext, node: TaskPlan | GroupPlan, given: Mapping[str, Any], path: Path
) -> None:
    """Expand and expand_kwargs, of a task or of a group."""
    expand, expand_kwargs = given.get("expand"), given.get("expand_kwargs")
    if expand is not None and expand_kwargs is not None:
        context.problems.add(
            (*path, "expand_kwargs"),
            "there can be 'expand' or 'expand_kwargs', not both",
            on_key=True,
        )
    if expand is not None:
        node.expand = _expand(context, node, expand, (*path, "expand"))
    if expand_kwargs is not None:
        inner = (*path, "expand_kwargs")
        node.expand_kwargs = _expand_kwargs(context, node, expand_kwargs, inner)


def _expand_kwargs(context: TaskContext, node: TaskPlan | GroupPlan, given: Any, path: Path) -> Any:
    if isinstance(given, list) and isinstance(node, TaskPlan):
        items = enumerate(cast("list[Any]", given))
        return [_read_set(context, node, item, (*path, index)) for index, item in items]
    found = context.reader.value(given, path)
    if found is not NOTHING and not isinstance(cast("object", found), Output | Combined | list):
        context.problems.add(
            path,
            "this cannot be expanded over",
            given=cast("object", given),
            valid="a list of mappings, or {$output: task}",
        )
    return found


def _read_set(context: TaskContext, task: TaskPlan, item: Any, path: Path) -> Any:
    """Read one literal set of arguments, whose names are an operator's or function's own."""
    if not isinstance(item, Mapping) or is_marked(cast("object", item)):
        found = context.reader.value(item, path)
        kinds = (Output, Combined, Argument, Mapping)
        if found is not NOTHING and not isinstance(cast("object", found), kinds):
            context.problems.add(path, "this must be a mapping", given=cast("object", item))
        return found
    given = cast("Mapping[str, Any]", item)
    if task.function is None:
        signature = cast("Signature", task.signature)
        read: dict[str, Any] = {}
        for name, value in given.items():
            if signature.accepts(name):
                expected = signature.type_of(name)
                read[name] = read_argument(context.reader, expected, value, (*path, name))
            else:
                refuse_argument(context, task, signature, name, path)
        return read
    parameters = parameters_of(task.function)
    for name in given:
        if name not in parameters.names and not parameters.takes_any:
            context.problems.add_unknown(
                (*path, str(name)),
                f"{function_name(task.function)}() has no argument {name!r}",
                str(name),
                parameters.names,
                on_key=True,
            )
    return context.reader.value(given, path)


def _expand(
    context: TaskContext, node: TaskPlan | GroupPlan, expand: Any, path: Path
) -> dict[str, Any]:
    if not isinstance(expand, Mapping) or not expand:
        context.problems.add(
            path,
            "this must be a mapping of arguments to the values to expand over",
            given=cast("object", expand),
            valid="{expand: {file: [a.csv, b.csv]}}",
        )
        if isinstance(node, TaskPlan):
            node.incomplete = True
        return {}
    found: dict[str, Any] = {}
    signature = node.signature if isinstance(node, TaskPlan) and node.function is None else None
    for name, values in cast("Mapping[str, Any]", expand).items():
        if signature and not signature.accepts(name):
            refuse_argument(context, cast("TaskPlan", node), signature, name, path)
            continue
        expected = signature.type_of(name) if signature else ANYTHING
        read = _read_each(context, expected, values, (*path, name))
        # An argument that is wrong is there all the same: nothing else misses it.
        found[name] = read
        if read is NOTHING or isinstance(read, Output | Combined | Argument | list | dict):
            continue
        found[name] = NOTHING
        context.problems.add(
            (*path, name),
            "this cannot be expanded over",
            given=values,
            valid="a list, a mapping, or {$output: task}",
        )
    return found


def _read_each(context: TaskContext, expected: ArgumentType, values: Any, path: Path) -> Any:
    """Read each value that an argument is expanded over by the argument's type."""
    if not isinstance(values, list):
        return context.reader.value(values, path)
    return [
        read_argument(context.reader, expected, value, (*path, index))
        for index, value in enumerate(cast("list[Any]", values))
    ]
