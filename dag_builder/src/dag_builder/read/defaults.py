"""Arguments that many tasks share: default_args and operator_defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from dag_builder.errors import NOTHING, Path, closest, listed
from dag_builder.fields import IGNORED_ARGUMENTS, TASK_FIELDS, Kind
from dag_builder.read.argument_names import refuse_argument
from dag_builder.read.argument_types import read_argument
from dag_builder.read.keys import joined, refuse_unknown
from dag_builder.read.notifications import NOTICES, NOTIFY, add_to_task
from dag_builder.read.task_context import RawDefault, TaskContext
from dag_builder.read.task_kinds import read_operator

if TYPE_CHECKING:
    from dag_builder.plan import TaskPlan
    from dag_builder.read.operators import (
        Signature,
    )


def inherit(
    context: TaskContext, task: TaskPlan, signature: Signature, given: Mapping[str, Any], path: Path
) -> None:
    """What Airflow's default_args does not handle: an operator's defaults, and joined mappings.

    From far to near: the DAG, the operator, the groups around the task, the task.
    """
    nearest = _task_default_args(context, task, signature, given, path)
    nearest |= _own_notices(context, signature, given, path)
    of_operator = context.operator_defaults.get(signature.operator, {})
    groups: list[Mapping[str, Any]] = []
    around = task.group
    while around.parent is not None:
        groups.insert(0, around.kwargs.get("default_args", {}))
        around = around.parent
    inherited: dict[str, Any] = {}
    own = {*of_operator, *nearest}
    for layer in (context.plan.kwargs.get("default_args", {}), of_operator, *groups, nearest):
        for key, value in layer.items():
            if not isinstance(value, RawDefault):
                inherited[key] = joined(inherited.get(key), value)
            elif key in signature.arguments:
                read = value.read(context.reader, signature.types[key])
                inherited[key] = joined(inherited.get(key), read)
                own.update([key] if read is not value.value else [])
    notices = inherited.pop(NOTICES, None)
    expanded = task.expand or {}
    for key, value in inherited.items():
        if key in task.kwargs:
            task.kwargs[key] = joined(value, task.kwargs[key])
        elif not signature.accepts(key) or key in expanded:
            continue
        elif key in own or value is NOTHING or isinstance(value, dict):
            task.kwargs[key] = value
    add_to_task(context, task.kwargs, inherited, notices or [], own=NOTICES in own)


def _task_default_args(
    context: TaskContext, task: TaskPlan, signature: Signature, given: Mapping[str, Any], path: Path
) -> dict[str, Any]:
    inner, defaults = (*path, "default_args"), given.get("default_args")
    if defaults is None:
        return {}
    if not isinstance(defaults, Mapping):
        context.problems.add(inner, "this must be a mapping", given=defaults)
        return {}
    found: dict[str, Any] = {}
    for key, value in cast("Mapping[str, Any]", defaults).items():
        if _is_notify(signature, key):
            found[NOTICES] = context.reader.read(Kind.TASK_NOTIFY, value, (*inner, key))
            continue
        if not signature.accepts(key):
            refuse_argument(context, task, signature, key, inner)
            continue
        found[key] = read_argument(context.reader, signature.type_of(key), value, (*inner, key))
    return found


def _own_notices(
    context: TaskContext, signature: Signature, given: Mapping[str, Any], path: Path
) -> dict[str, Any]:
    if NOTIFY not in given or not _is_notify(signature, NOTIFY):
        return {}
    return {NOTICES: context.reader.read(Kind.TASK_NOTIFY, given[NOTIFY], (*path, NOTIFY))}


def _is_notify(signature: Signature, key: str) -> bool:
    return key == NOTIFY and key in signature.builder_keys


def read_operator_defaults(context: TaskContext, given: Any, dag_path: Path) -> None:
    """Arguments for every task of one operator."""
    if given is None:
        return
    path = (*dag_path, "operator_defaults")
    if not isinstance(given, Mapping):
        context.problems.add(path, "this must be a mapping of operators to arguments", given=given)
        return
    for operator, arguments in cast("Mapping[str, Any]", given).items():
        inner = (*path, str(operator))
        signature = read_operator(context, operator, inner)
        if signature is None:
            continue
        if not isinstance(arguments, Mapping):
            context.problems.add(inner, "this must be a mapping of arguments", given=arguments)
            continue
        read: dict[str, Any] = {}
        for key, value in cast("Mapping[str, Any]", arguments).items():
            if _is_notify(signature, key):
                read[NOTICES] = context.reader.read(Kind.TASK_NOTIFY, value, (*inner, key))
                continue
            if not signature.accepts(key):
                refuse_unknown(
                    context.problems,
                    inner,
                    signature.name,
                    [key],
                    signature.arguments,
                    first=sorted(signature.arguments - TASK_FIELDS.keys()),
                )
                continue
            expected = signature.type_of(key)
            read[key] = read_argument(context.reader, expected, value, (*inner, key))
        context.operator_defaults[signature.operator] = read
        context.layered = True


def read_default_args(context: TaskContext, given: object, path: Path) -> dict[str, Any]:
    """The default_args of a DAG or group.

    Keys that every task has are read now. What other keys hold depends on the operators that take
    them, and is kept as it is until every task is read.
    """
    if given is None:
        return {}
    inner = (*path, "default_args")
    if not isinstance(given, Mapping):
        context.problems.add(inner, "this must be a mapping", given=given)
        return {}
    found: dict[str, Any] = {}
    for key, value in cast("Mapping[str, Any]", given).items():
        where = (*inner, key)
        if key == NOTIFY:
            found[NOTICES] = context.reader.read(Kind.TASK_NOTIFY, value, where)
            context.default_notices = context.layered = True
            continue
        context.default_args_given.append((key, where))
        field = TASK_FIELDS.get(key)
        if field is None:
            raw = RawDefault(value=value, path=where, layer=found)
            context.raw_defaults.append(raw)
            found[key] = raw
            context.layered = True
            continue
        read = context.reader.read(field.kind, value, where)
        if read is not NOTHING:
            found[key] = read
            context.layered |= isinstance(read, dict)
    return found


def check_default_args(context: TaskContext) -> None:
    """Refuse what no task takes: Airflow ignores it, and a typing mistake would never be seen."""
    known = {*TASK_FIELDS}
    for signature in context.used.values():
        known |= signature.arguments
    given = [] if context.makes_groups else context.default_args_given
    for key, path in given:
        if key not in known and not any(one.accepts(key) for one in context.used.values()):
            context.problems.add(
                path,
                f"no task takes {key!r}",
                given=key,
                valid=listed([*TASK_FIELDS, *sorted(known - TASK_FIELDS.keys())]),
                suggestion=closest(key, known),
                hint=IGNORED_ARGUMENTS.get(key, ""),
                on_key=True,
            )
    for raw in context.raw_defaults:
        key = str(raw.path[-1])
        read = [value for value in raw.found.values() if value is not NOTHING]
        raw.layer[key] = read[0] if read else raw.value
