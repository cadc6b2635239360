"""Names of arguments that an operator or a function does not take, or does not get."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

from dag_builder.errors import Path, closest, listed
from dag_builder.fields import TASK_FIELDS, TASK_OWN_FIELDS
from dag_builder.read.functions import parameters_of
from dag_builder.read.keys import refuse_unknown

if TYPE_CHECKING:
    from dag_builder.plan import TaskPlan
    from dag_builder.read.operators import (
        Signature,
    )
    from dag_builder.read.task_context import TaskContext


def check_function(
    context: TaskContext, task: TaskPlan, given: Mapping[str, Any], path: Path
) -> None:
    """Refuse arguments that the function of a task does not have."""
    parameters = parameters_of(cast("Callable[..., Any]", task.function))
    if parameters.takes_any:
        return
    for key in ("arguments", "partial", "expand"):
        names: Any = given.get(key)
        for name in cast("list[str]", names) if isinstance(names, Mapping) else ():
            if name not in parameters.names:
                context.problems.add_unknown(
                    (*path, key, str(name)),
                    f"{function_name(task.function)}() has no argument {name!r}",
                    str(name),
                    parameters.names,
                    on_key=True,
                )


def refuse_argument(
    context: TaskContext, task: TaskPlan, signature: Signature, key: str, path: Path
) -> None:
    """Refuse an argument that the operator of a task does not take."""
    function = task.function
    what = f"{signature.name}"
    if function is not None:
        what = f"{function_name(function)}() as {signature.name}"
        if key in parameters_of(function).names:
            context.problems.add(
                (*path, key),
                f"the arguments of {function_name(function)}() belong in 'arguments'",
                given=key,
                valid=f"{{arguments: {{{key}: …}}}}",
                on_key=True,
            )
            return
    own = [*signature.required, *sorted(signature.arguments - TASK_FIELDS.keys())]
    refuse_unknown(
        context.problems,
        path,
        what,
        [key],
        signature.arguments | signature.builder_keys,
        first=[*dict.fromkeys(own), *TASK_OWN_FIELDS],
    )


def check_required(
    context: TaskContext,
    task: TaskPlan,
    signature: Signature,
    given: Mapping[str, Any],
    defaults: Collection[str],
) -> None:
    """Refuse a task that lacks an argument which its operator needs."""
    expanded = task.expand or {}
    missing = signature.required - task.kwargs.keys() - expanded.keys() - set(defaults)
    sets = task.expand_kwargs
    if task.incomplete or (sets is not None and not isinstance(sets, list)):
        return  # what is given is not known, or is known only when the DAG runs
    own_keys = signature.builder_keys
    unknown = [key for key in given if key not in signature.arguments | own_keys]
    # 'bash_comand' is one mistake and not two.
    meant = {closest(key, signature.arguments) for key in unknown}
    for name in sorted(missing - (given.keys() - own_keys) - meant):
        for path in _lacking(name, cast("list[Any] | None", sets), task.path):
            context.problems.add(
                path,
                f"{signature.name} needs {name!r}",
                valid=listed(sorted(signature.required)),
                hint=f"{name!r} beside 'operator' is a key of the builder; give the operator's in "
                f"{{default_args: {{{name}: …}}}}"
                if name in own_keys and name in given
                else "",
            )


def _lacking(name: str, sets: list[Any] | None, path: Path) -> list[Path]:
    """Return where an argument is missing: in the task, or in some of its sets of arguments."""
    if sets is None:
        return [path]
    return [
        (*path, "expand_kwargs", index)
        for index, item in enumerate(sets)
        if isinstance(item, dict) and name not in item
    ]


def function_name(function: Any) -> str:
    """The name of a function, or its text if it has none."""
    return getattr(function, "__name__", repr(function))
