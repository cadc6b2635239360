"""Reads one task of a dictionary."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from dag_builder.errors import NOTHING, Path, listed
from dag_builder.plan import GroupPlan, TaskPlan
from dag_builder.read.arguments import read_arguments
from dag_builder.read.group_functions import read_group_function
from dag_builder.read.task_kinds import read_kind
from dag_builder.references import references_in

if TYPE_CHECKING:
    from dag_builder.read.task_context import TaskContext

_TEARDOWN_KEYS = frozenset({"setup", "teardown", "on_failure_fail_dagrun"})


def read_task(
    context: TaskContext,
    name: str,
    value: Any,
    group: GroupPlan,
    path: Path,
    *,
    defaults: Collection[str],
) -> TaskPlan:
    """One task. `defaults` are the argument names that default_args give here."""
    given, implied = _as_mapping(context, name, value, path)
    task = TaskPlan(
        id=group.child_id(name), name=name, path=path, group=group, signature=None, kwargs={}
    )
    read_kind(context, task, given, implied, path)
    if task.makes_group:
        read_group_function(context, task, given, path)
        read_links(context, task, group, given, path)
        return task
    if task.signature is None and task.instance is None:
        _read_links_and_teardown(context, task, given, path)
        return task
    if task.signature is not None:
        read_arguments(context, task, task.signature, given, path, defaults=defaults)
    _read_links_and_teardown(context, task, given, path)
    return task


def _as_mapping(
    context: TaskContext, name: str, value: Any, path: Path
) -> tuple[Mapping[str, Any], Any]:
    """The task as a mapping, and the function or operator given in its place, if any."""
    if isinstance(value, Mapping):
        mapping = cast("Mapping[str, Any]", value)
        if "operator" in mapping or "callable" in mapping:
            return mapping, NOTHING
        found = _by_name(context, name, path)
        if isinstance(found, Mapping):
            return {**cast("Mapping[str, Any]", found), **mapping}, NOTHING
        return mapping, found
    if value is None or isinstance(value, str | list | tuple):
        links: dict[str, Any] = {"upstream": value} if value else {}
        found = _by_name(context, name, path)
        if isinstance(found, Mapping):
            return {**cast("Mapping[str, Any]", found), **links}, NOTHING
        return links, found
    return {}, value


def _by_name(context: TaskContext, name: str, path: Path) -> Any:
    found = context.reader.named(name)
    if found is not NOTHING:
        return found
    names = context.reader.names()
    where = "tasks="
    if isinstance(context.reader.namespace, ModuleType):
        where = f"module {context.reader.namespace.__name__!r}"
    context.problems.add(
        path,
        f"task {name!r} is not defined: {where} has nothing of this name",
        valid=listed(names) if names else "",
        suggestion=context.problems.closest(name, names),
        hint="define a function of this name, or give the task an 'operator' or a 'callable'",
    )
    return None


def _read_links_and_teardown(
    context: TaskContext, task: TaskPlan, given: Mapping[str, Any], path: Path
) -> None:
    read_links(context, task, task.group, given, path)
    if given.keys().isdisjoint(_TEARDOWN_KEYS):
        return
    task.setup = bool(_flag(context, given, "setup", path))
    teardown = given.get("teardown", False)
    if isinstance(teardown, str | list):
        names = cast("list[Any]", [teardown] if isinstance(teardown, str) else teardown)
        context.references.append((task, "teardown", names, (*path, "teardown")))
        task.teardown = True
    else:
        task.teardown = bool(_flag(context, given, "teardown", path))
    task.on_failure_fail_dagrun = _flag(context, given, "on_failure_fail_dagrun", path)
    if task.on_failure_fail_dagrun is not None and not given.get("teardown"):
        context.problems.add(
            (*path, "on_failure_fail_dagrun"),
            "only a teardown can fail the run by its failure",
            given=task.on_failure_fail_dagrun,
            valid="teardown: true, or the names of its set-up tasks, beside it",
            on_key=True,
        )


def _flag(context: TaskContext, given: Mapping[str, Any], key: str, path: Path) -> bool | None:
    value = given.get(key)
    if value is None or isinstance(value, bool):
        return value
    context.problems.add((*path, key), "this must be true or false", given=value)
    return None


def read_links(
    context: TaskContext,
    node: TaskPlan | GroupPlan,
    _group: GroupPlan,
    given: Mapping[str, Any],
    path: Path,
) -> None:
    """Upstream and downstream as given, to be resolved when every name is known."""
    for key in ("upstream", "downstream"):
        value = given.get(key)
        if value is not None and value not in ([], ()):
            context.references.append((node, key, value, (*path, key)))
    if isinstance(node, GroupPlan):
        for key, values in (("expand", node.expand), ("expand_kwargs", node.expand_kwargs)):
            for reference, inner in references_in(values, (*path, key)):
                context.references.append((node, "$reference", reference, inner))
