"""What makes a task: an operator, a function, a decorated function or a ready operator."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from dag_builder import airflow_internals
from dag_builder.errors import NOTHING, Path, closest, format_path, listed
from dag_builder.read.imports import ImportPathError
from dag_builder.read.operators import (
    BUILDER_KEYS,
    DECORATORS,
    Signature,
    decorated_signature,
    decorator_signature,
    signature_of,
)
from dag_builder.read.origins import Expression

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dag_builder.plan import TaskPlan
    from dag_builder.read.task_context import TaskContext

#: The name of the environment that the image makes from its two requirement files.
AIRFLOW_ENV = "airflow_env"
#: The path of its interpreter, if it is not the one that reads the DAG.
AIRFLOW_ENV_PYTHON = "AIRFLOW_ENV_PYTHON"
_AIRFLOW_ENV_CODE = Expression(
    code=f'os.environ.get("{AIRFLOW_ENV_PYTHON}", sys.executable)', modules=("os", "sys")
)


def read_kind(
    context: TaskContext, task: TaskPlan, given: Mapping[str, Any], implied: Any, path: Path
) -> None:
    """Set what makes the task: its signature, function or instance."""
    if "operator" in given:
        task.signature = read_operator(context, given["operator"], (*path, "operator"))
        own_keys = task.signature.builder_keys if task.signature else BUILDER_KEYS
        if "callable" in given and "callable" in own_keys:
            context.problems.add(
                (*path, "callable"),
                "a task has an 'operator' or a 'callable', not both",
                given=given["callable"],
                hint="for the function of a PythonOperator the argument is 'python_callable'",
                on_key=True,
            )
    elif "callable" in given:
        found = context.reader.callable(given["callable"], (*path, "callable"))
        if found is not NOTHING:
            _of_object(context, task, found, given, path)
    elif implied is not None and implied is not NOTHING:
        _of_object(context, task, implied, given, path)


def _of_object(
    context: TaskContext, task: TaskPlan, found: Any, given: Mapping[str, Any], path: Path
) -> None:
    """A function, a function decorated with @task, an operator class or an operator."""
    if isinstance(found, type):
        task.signature = read_operator(context, found, path)
    elif hasattr(found, "_airflow_is_task_decorator"):
        _refuse_decorated(context, given, path)
        task.function = found.function
        task.decorated = found
        task.signature = decorated_signature(found)
        task.kwargs.update(
            {k: v for k, v in found.kwargs.items() if k not in {"task_id", "op_kwargs", "op_args"}}
        )
    elif airflow_internals.is_group_function(found):
        task.function, task.decorated, task.makes_group = found.function, found, True
        context.makes_groups = True
    elif hasattr(found, "task_id") and hasattr(found, "upstream_task_ids"):
        _of_instance(context, task, found, given, path)
    elif callable(found):
        if not _is_function(context, found, path):
            return
        task.function = found
        task.signature = _decorator(context, task, given, path)
    else:
        context.problems.add(
            path,
            "this is not a task",
            given=found,
            valid="a function, an operator or a dictionary",
        )


def _refuse_decorated(context: TaskContext, given: Mapping[str, Any], path: Path) -> None:
    for key in ("decorator", "python"):
        if key in given:
            context.problems.add(
                (*path, key),
                f"the function is decorated with @task already, so {key!r} has no effect",
                given=given[key],
                hint="use the function without its decorator, or leave this key out",
                on_key=True,
            )


def _is_function(context: TaskContext, found: Any, path: Path) -> bool:
    """Return whether this can be decorated with @task, which reads its name and annotations."""
    if hasattr(found, "__name__") and hasattr(found, "__annotations__"):
        return True
    what = "this cannot be a task: @task needs a function that is written in Python"
    hint = "use {operator: python, python_callable: …}, or a function that calls it"
    context.problems.add(path, what, given=found, hint=hint)
    return False


def _of_instance(
    context: TaskContext, task: TaskPlan, found: Any, given: Mapping[str, Any], path: Path
) -> None:
    if found.task_id != task.name:
        context.problems.add(
            path,
            f"the operator's task_id is {found.task_id!r}, but its name here is {task.name!r}",
            given=found.task_id,
            valid=repr(task.name),
        )
    if found.has_dag():
        context.problems.add(
            path,
            f"the operator is already in DAG {found.dag.dag_id!r}",
            hint="make it outside of any 'with DAG(…)'",
        )
    elsewhere = context.instances.setdefault(id(found), path)
    if elsewhere is not path:
        context.problems.add(
            path,
            f"the same operator is {format_path(elsewhere)} already, and can be one task only",
            given=found,
            hint="make another one, or give the arguments here: {operator: …}",
        )
    if getattr(found, "is_mapped", False):
        context.problems.add(
            path,
            "a mapped operator that is already made cannot join a DAG",
            given=found,
            valid="{operator: …, partial: {…}, expand: {…}}",
        )
    extra = given.keys() - {"upstream", "downstream", "setup", "teardown"}
    for key in sorted(extra):
        context.problems.add(
            (*path, key),
            "an operator that is already made takes no more arguments",
            given=given[key],
            on_key=True,
        )
    task.instance = found


def read_operator(context: TaskContext, operator: Any, path: Path) -> Signature | None:
    """Return the signature of an operator, or None if there is none (which is reported)."""
    try:
        return signature_of(operator)
    except ImportPathError as error:
        context.problems.add(
            path, error.message, given=operator, valid=error.valid, suggestion=error.suggestion
        )
    except TypeError:
        context.problems.add(
            path, "this is not an operator", given=operator, valid="a short name or an import path"
        )
    return None


def _decorator(
    context: TaskContext, task: TaskPlan, given: Mapping[str, Any], path: Path
) -> Signature | None:
    name = given.get("decorator", "python")
    python = given.get("python")
    if python is not None:
        if name in {"python", "branch"}:
            name = "external_python" if name == "python" else "branch_external_python"
        elif name not in {"external_python", "branch_external_python"}:
            context.problems.add(
                (*path, "python"),
                f"a function of kind {name!r} cannot run in another Python",
                given=python,
                valid="decorator: python or branch",
            )
        task.kwargs["python"] = _interpreter(context, python, (*path, "python"))
    if not isinstance(name, str):
        context.problems.add(
            (*path, "decorator"), "this is not a decorator", given=name, valid=listed(DECORATORS)
        )
        return None
    task.decorator = name
    try:
        return decorator_signature(name)
    except ImportPathError as error:
        context.problems.add(
            (*path, "decorator"),
            error.message,
            given=name,
            valid=error.valid,
            suggestion=error.suggestion,
        )
        return None


def _interpreter(context: TaskContext, python: Any, path: Path) -> str:
    if python == AIRFLOW_ENV:
        found = os.environ.get(AIRFLOW_ENV_PYTHON, sys.executable)
        return context.reader.kept(found, _AIRFLOW_ENV_CODE, path)
    if isinstance(python, str) and (os.path.isabs(python) or "{{" in python):  # noqa: PTH117
        return python
    context.problems.add(
        path,
        "this is not a Python interpreter",
        given=python,
        valid=f"{AIRFLOW_ENV!r}, or an interpreter's full path such as '/opt/other/bin/python'",
        suggestion=closest(str(python), [AIRFLOW_ENV]),
    )
    return ""
