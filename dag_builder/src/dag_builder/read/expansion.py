"""Reads dynamic mapping: expand and expand_kwargs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from dag_builder.errors import NOTHING, Path
from dag_builder.plan import GroupPlan, TaskPlan
from dag_builder.read.argument_names import function_name, refuse_argument
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
        found = context.reader.value(expand_kwargs, inner)
        if not isinstance(found, Output | Combined | list):
            context.problems.add(
                inner,
                "this cannot be expanded over",
                given=expand_kwargs,
                valid="a list of mappings, or {$output: task}",
            )
        node.expand_kwargs = found
        if isinstance(found, list) and isinstance(node, TaskPlan):
            _check_sets(context, node, cast("list[Any]", found), inner)


def _check_sets(context: TaskContext, task: TaskPlan, sets: list[Any], path: Path) -> None:
    """The names in literal sets of arguments are an operator's or function's own."""
    parameters = parameters_of(task.function) if task.function is not None else None
    for index, item in enumerate(sets):
        where = (*path, index)
        if isinstance(item, Output | Combined | Argument) or item is NOTHING:
            continue
        if not isinstance(item, Mapping):
            context.problems.add(where, "this must be a mapping", given=item)
            continue
        for name in cast("Mapping[str, Any]", item):
            if parameters is None:
                signature = cast("Signature", task.signature)
                if name not in signature.arguments:
                    refuse_argument(context, task, signature, name, where)
            elif name not in parameters.names and not parameters.takes_any:
                context.problems.add_unknown(
                    (*where, str(name)),
                    f"{function_name(task.function)}() has no argument {name!r}",
                    str(name),
                    parameters.names,
                    on_key=True,
                )


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
        return {}
    found: dict[str, Any] = {}
    signature = node.signature if isinstance(node, TaskPlan) and node.function is None else None
    for name, values in cast("Mapping[str, Any]", expand).items():
        if signature and name not in signature.arguments:
            refuse_argument(context, cast("TaskPlan", node), signature, name, path)
            continue
        read = context.reader.value(values, (*path, name))
        if read is NOTHING or isinstance(read, Output | Combined | Argument | list | dict):
            found[name] = read
        else:
            context.problems.add(
                (*path, name),
                "this cannot be expanded over",
                given=values,
                valid="a list, a mapping, or {$output: task}",
            )
    return found
