"""Reads one task of a dictionary."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Mapping
from types import ModuleType
from typing import Any, cast

from dag_builder.errors import NOTHING, Path, closest, format_path, listed
from dag_builder.fields import TASK_FIELDS, TASK_OWN_FIELDS, Kind
from dag_builder.functions import context_names, parameters_of
from dag_builder.imports import ImportPathError
from dag_builder.keys import joined, refuse_unknown
from dag_builder.operators import DECORATORS, Signature, decorator_signature, signature_of
from dag_builder.plan import DagPlan, GroupPlan, TaskPlan
from dag_builder.reader import SCALARS, Reader
from dag_builder.references import ABSOLUTE, Argument, Combined, Output, references_in

#: The name of the environment that the image makes from its two requirement files.
AIRFLOW_ENV = "airflow_env"
#: Where to find its interpreter, if it is not the one that reads the DAG.
AIRFLOW_ENV_PYTHON = "AIRFLOW_ENV_PYTHON"

_OWN_KEYS = frozenset(TASK_OWN_FIELDS)
_NO_LINKS: tuple[Any, ...] = ()


class TaskParser:
    """Makes a TaskPlan from each entry of a `tasks` mapping.

    What can only be judged when every task is known (names, cycles, arguments that come from
    upstream) is kept in `references` for links.py.
    """

    def __init__(self, reader: Reader, plan: DagPlan) -> None:
        """Parse tasks for one plan."""
        self.reader = reader
        self.problems = reader.problems
        self.plan = plan
        #: upstream, downstream and teardown as given: (node, key, value, its path).
        self.references: list[tuple[TaskPlan | GroupPlan, str, Any, Path]] = []
        self.default_args_given: list[tuple[str, Path]] = []
        self.operator_defaults: dict[object, dict[str, Any]] = {}
        #: Whether some default is more than Airflow's default_args can do by themselves.
        self.layered = False
        self._used: dict[int, Signature] = {}
        #: Where each operator that the user made is used, by its id().
        self._instances: dict[int, Path] = {}

    def parse(
        self,
        name: str,
        value: Any,
        group: GroupPlan,
        path: Path,
        defaults: Collection[str],
    ) -> TaskPlan:
        """One task. `defaults` are the argument names that default_args give here."""
        given, implied = self._as_mapping(name, value, path)
        task = TaskPlan(
            id=group.child_id(name), name=name, path=path, group=group, signature=None, kwargs={}
        )
        self._what(task, given, implied, path)
        if task.signature is None and task.instance is None:
            self._check_links_only(task, given, path)
            return task
        if task.signature is not None:
            self._arguments(task, task.signature, given, path, defaults)
        self._check_links_only(task, given, path)
        return task

    def _as_mapping(self, name: str, value: Any, path: Path) -> tuple[Mapping[str, Any], Any]:
        """The task as a mapping, and the function or operator that stands in its place, if any."""
        if isinstance(value, Mapping):
            mapping = cast("Mapping[str, Any]", value)
            if "operator" in mapping or "callable" in mapping:
                return mapping, NOTHING
            found = self._by_name(name, path)
            if isinstance(found, Mapping):
                return {**cast("Mapping[str, Any]", found), **mapping}, NOTHING
            return mapping, found
        if value is None or isinstance(value, str | list | tuple):
            links: dict[str, Any] = {"upstream": value} if value else {}
            found = self._by_name(name, path)
            if isinstance(found, Mapping):
                return {**cast("Mapping[str, Any]", found), **links}, NOTHING
            return links, found
        return {}, value

    def _by_name(self, name: str, path: Path) -> Any:
        found = self.reader.named(name)
        if found is not NOTHING:
            return found
        names = self.reader.names()
        where = "tasks="
        if isinstance(self.reader.namespace, ModuleType):
            where = f"module {self.reader.namespace.__name__!r}"
        self.problems.add(
            path,
            f"nothing says what task {name!r} does: {where} has nothing of this name",
            valid=listed(names) if names else "",
            suggestion=closest(name, names),
            hint="define a function of this name, or give the task an 'operator' or a 'callable'",
        )
        return None

    # What makes the task

    def _what(self, task: TaskPlan, given: Mapping[str, Any], implied: Any, path: Path) -> None:
        if "operator" in given:
            if "callable" in given:
                self.problems.add(
                    (*path, "callable"),
                    "a task has an 'operator' or a 'callable', not both",
                    given=given["callable"],
                    hint="for the function of a PythonOperator the argument is 'python_callable'",
                    on_key=True,
                )
            task.signature = self._operator(given["operator"], (*path, "operator"))
        elif "callable" in given:
            found = self.reader.callable(given["callable"], (*path, "callable"))
            if found is not NOTHING:
                self._of_object(task, found, given, path)
        elif implied is not None and implied is not NOTHING:
            self._of_object(task, implied, given, path)

    def _of_object(self, task: TaskPlan, found: Any, given: Mapping[str, Any], path: Path) -> None:
        """A function, a function decorated with @task, an operator class or an operator."""
        if isinstance(found, type):
            task.signature = self._operator(found, path)
        elif hasattr(found, "_airflow_is_task_decorator"):
            task.function = found.function
            task.signature = decorator_signature_of(found)
            task.kwargs.update(
                {
                    k: v
                    for k, v in found.kwargs.items()
                    if k not in {"task_id", "op_kwargs", "op_args"}
                }
            )
        elif hasattr(found, "task_id") and hasattr(found, "upstream_task_ids"):
            self._of_instance(task, found, given, path)
        elif callable(found):
            task.function = found
            task.signature = self._decorator(task, given, path)
        else:
            self.problems.add(
                path,
                "this is no task",
                given=found,
                valid="a function, an operator or a dictionary",
            )

    def _of_instance(
        self, task: TaskPlan, found: Any, given: Mapping[str, Any], path: Path
    ) -> None:
        if found.task_id != task.name:
            self.problems.add(
                path,
                f"the operator's task_id is {found.task_id!r}, but its name here is {task.name!r}",
                given=found.task_id,
                valid=repr(task.name),
            )
        if found.has_dag():
            self.problems.add(
                path,
                f"the operator is already in DAG {found.dag.dag_id!r}",
                hint="make it outside of any 'with DAG(…)'",
            )
        elsewhere = self._instances.setdefault(id(found), path)
        if elsewhere is not path:
            self.problems.add(
                path,
                f"the same operator is {format_path(elsewhere)} already, and can be one task only",
                given=found,
                hint="make another one, or give the arguments here: {operator: …}",
            )
        extra = given.keys() - {"upstream", "downstream", "setup", "teardown"}
        for key in sorted(extra):
            self.problems.add(
                (*path, key),
                "an operator that is already made takes no more arguments",
                given=given[key],
                on_key=True,
            )
        task.instance = found

    def _operator(self, operator: Any, path: Path) -> Signature | None:
        try:
            return signature_of(operator)
        except ImportPathError as error:
            self.problems.add(
                path, error.message, given=operator, valid=error.valid, suggestion=error.suggestion
            )
        except TypeError:
            self.problems.add(
                path, "this is no operator", given=operator, valid="a short name or an import path"
            )
        return None

    def _decorator(self, task: TaskPlan, given: Mapping[str, Any], path: Path) -> Signature | None:
        name = given.get("decorator", "python")
        python = given.get("python")
        if python is not None:
            if name in {"python", "branch"}:
                name = "external_python" if name == "python" else "branch_external_python"
            elif name not in {"external_python", "branch_external_python"}:
                self.problems.add(
                    (*path, "python"),
                    f"a function of kind {name!r} cannot run in another Python",
                    given=python,
                    valid="decorator: python or branch",
                )
            task.kwargs["python"] = self._interpreter(python, (*path, "python"))
        if not isinstance(name, str):
            self.problems.add(
                (*path, "decorator"), "this is no decorator", given=name, valid=listed(DECORATORS)
            )
            return None
        try:
            return decorator_signature(name)
        except ImportPathError as error:
            self.problems.add(
                (*path, "decorator"),
                error.message,
                given=name,
                valid=error.valid,
                suggestion=error.suggestion,
            )
            return None

    def _interpreter(self, python: Any, path: Path) -> str:
        if python == AIRFLOW_ENV:
            return os.environ.get(AIRFLOW_ENV_PYTHON, sys.executable)
        if isinstance(python, str) and (os.path.isabs(python) or "{{" in python):  # noqa: PTH117
            return python
        self.problems.add(
            path,
            "this is no Python to run in",
            given=python,
            valid=f"{AIRFLOW_ENV!r}, or an interpreter's full path such as '/opt/other/bin/python'",
            suggestion=closest(str(python), [AIRFLOW_ENV]),
        )
        return ""

    # Its arguments

    def _arguments(  # noqa: C901 - the one loop over every value of every task: calls cost here
        self,
        task: TaskPlan,
        signature: Signature,
        given: Mapping[str, Any],
        path: Path,
        defaults: Collection[str],
    ) -> None:
        self._used[id(signature)] = signature
        arguments, kinds, kwargs = signature.arguments, signature.kinds, task.kwargs
        read, plain = self.reader.read, True
        for key, value in given.items():
            if key in _OWN_KEYS:
                continue
            if key not in arguments:
                self._unknown_argument(task, signature, key, path)
                continue
            kind = kinds.get(key)
            if kind is None:
                if type(value) in SCALARS:
                    kwargs[key] = value
                    continue
                found = self.reader.value(value, (*path, key))
                plain = False
            else:
                found = read(kind, value, (*path, key))
            if found is not NOTHING:
                kwargs[key] = found
        if not given.keys().isdisjoint(_ARGUMENT_KEYS):
            self._own_arguments(task, given, path)
            plain = False
        elif task.function is None and not given.keys().isdisjoint(_FUNCTION_KEYS):
            self._own_arguments(task, given, path)
        if self.layered or "default_args" in given:
            self._inherit(task, signature, given, path)
            plain = False
        if not signature.required <= kwargs.keys():
            self._missing(task, signature, given, path, defaults)
        if not plain:
            self._note_references(task, signature, path)

    def _own_arguments(self, task: TaskPlan, given: Mapping[str, Any], path: Path) -> None:
        """partial, expand, arguments and default_args of one task."""
        if task.function is None:
            self._refuse_function_keys(given, path)
        self.read_mapping(task, given, path)
        if task.function is not None and "arguments" in given:
            self._named_values(task, task.arguments, given["arguments"], (*path, "arguments"))
        if "partial" in given:
            into = task.kwargs if task.function is None else task.arguments
            self._named_values(task, into, given["partial"], (*path, "partial"))
        if task.function is not None:
            self._check_function(task, given, path)

    def _refuse_function_keys(self, given: Mapping[str, Any], path: Path) -> None:
        for key in ("arguments", "decorator", "python"):
            if key in given:
                self.problems.add(
                    (*path, key),
                    f"{key!r} is for a Python function; an operator's arguments stand beside "
                    "'operator'",
                    given=given[key],
                    on_key=True,
                )

    def _named_values(
        self, task: TaskPlan, into: dict[str, Any], given: object, path: Path
    ) -> None:
        """Values for a function's parameters, or for an operator's arguments."""
        if given is None:
            return
        if not isinstance(given, Mapping):
            self.problems.add(path, "this must be a mapping", given=given)
            return
        signature = task.signature if task.function is None else None
        for name, item in cast("Mapping[str, Any]", given).items():
            if signature and name not in signature.arguments:
                self._unknown_argument(task, signature, name, path)
                continue
            kind = signature.kinds.get(name) if signature else None
            where = (*path, name)
            found = self.reader.read(kind, item, where) if kind else self.reader.value(item, where)
            if found is not NOTHING:
                into[name] = found

    def _inherit(
        self, task: TaskPlan, signature: Signature, given: Mapping[str, Any], path: Path
    ) -> None:
        """What is no work for Airflow's default_args: an operator's defaults, and joined mappings.

        From far to near: the DAG, the operator, the groups around the task, the task.
        """
        nearest = self._task_default_args(task, signature, given, path)
        of_operator = self.operator_defaults.get(signature.operator, {})
        groups: list[Mapping[str, Any]] = []
        around = task.group
        while around.parent is not None:
            groups.insert(0, around.kwargs.get("default_args", {}))
            around = around.parent
        inherited: dict[str, Any] = {}
        for layer in (self.plan.kwargs.get("default_args", {}), of_operator, *groups, nearest):
            for key, value in layer.items():
                inherited[key] = joined(inherited.get(key), value)
        expanded = task.expand or {}
        for key, value in inherited.items():
            if key in task.kwargs:
                task.kwargs[key] = joined(value, task.kwargs[key])
            elif key not in signature.arguments or key in expanded:
                continue
            elif key in of_operator or key in nearest or isinstance(value, dict):
                task.kwargs[key] = value

    def _task_default_args(
        self, task: TaskPlan, signature: Signature, given: Mapping[str, Any], path: Path
    ) -> dict[str, Any]:
        inner, defaults = (*path, "default_args"), given.get("default_args")
        if defaults is None:
            return {}
        if not isinstance(defaults, Mapping):
            self.problems.add(inner, "this must be a mapping", given=defaults)
            return {}
        found: dict[str, Any] = {}
        for key, value in cast("Mapping[str, Any]", defaults).items():
            if key not in signature.arguments:
                self._unknown_argument(task, signature, key, inner)
                continue
            field = TASK_FIELDS.get(key)
            where = (*inner, key)
            read = self.reader.read(field.kind if field else Kind.ANY, value, where)
            if read is not NOTHING:
                found[key] = read
        return found

    def _check_function(self, task: TaskPlan, given: Mapping[str, Any], path: Path) -> None:
        parameters = parameters_of(cast("Callable[..., Any]", task.function))
        if parameters.takes_any:
            return
        for key in ("arguments", "partial", "expand"):
            names: Any = given.get(key)
            for name in cast("list[str]", names) if isinstance(names, Mapping) else _NO_LINKS:
                if name not in parameters.names:
                    self.problems.add_unknown(
                        (*path, key, str(name)),
                        f"{_name(task.function)}() has no argument {name!r}",
                        str(name),
                        parameters.names,
                        on_key=True,
                    )

    def _unknown_argument(self, task: TaskPlan, signature: Signature, key: str, path: Path) -> None:
        function = task.function
        what = f"{signature.name}"
        if function is not None:
            what = f"{_name(function)}() as {signature.name}"
            if key in parameters_of(function).names:
                self.problems.add(
                    (*path, key),
                    f"the arguments of {_name(function)}() stand in 'arguments'",
                    given=key,
                    valid=f"{{arguments: {{{key}: …}}}}",
                    on_key=True,
                )
                return
        own = [*signature.required, *sorted(signature.arguments - TASK_FIELDS.keys())]
        refuse_unknown(
            self.problems,
            path,
            what,
            [key],
            signature.arguments | _OWN_KEYS,
            first=[*dict.fromkeys(own), *TASK_OWN_FIELDS],
        )

    def _missing(
        self,
        task: TaskPlan,
        signature: Signature,
        given: Mapping[str, Any],
        path: Path,
        defaults: Collection[str],
    ) -> None:
        expanded = task.expand or {}
        missing = signature.required - task.kwargs.keys() - expanded.keys() - set(defaults)
        if task.expand_kwargs is not None:
            return
        unknown = [key for key in given if key not in signature.arguments | _OWN_KEYS]
        # 'bash_comand' is one mistake and not two.
        meant = {closest(key, signature.arguments) for key in unknown}
        for name in sorted(missing - given.keys() - meant):
            self.problems.add(
                path,
                f"{signature.name} needs {name!r}",
                valid=listed(sorted(signature.required)),
            )

    # Dynamic mapping

    def read_mapping(
        self, node: TaskPlan | GroupPlan, given: Mapping[str, Any], path: Path
    ) -> None:
        """Expand and expand_kwargs, of a task or of a group."""
        expand, expand_kwargs = given.get("expand"), given.get("expand_kwargs")
        if expand is not None and expand_kwargs is not None:
            self.problems.add(
                (*path, "expand_kwargs"),
                "there can be 'expand' or 'expand_kwargs', not both",
                on_key=True,
            )
        if expand is not None:
            node.expand = self._expand(node, expand, (*path, "expand"))
        if expand_kwargs is not None:
            inner = (*path, "expand_kwargs")
            found = self.reader.value(expand_kwargs, inner)
            if not isinstance(found, Output | Combined | list):
                self.problems.add(
                    inner,
                    "this cannot be expanded over",
                    given=expand_kwargs,
                    valid="a list of mappings, or {$output: task}",
                )
            node.expand_kwargs = found
            if isinstance(found, list) and isinstance(node, TaskPlan):
                self._check_sets(node, cast("list[Any]", found), inner)

    def _check_sets(self, task: TaskPlan, sets: list[Any], path: Path) -> None:
        """The names in literal sets of arguments are an operator's or function's own."""
        parameters = parameters_of(task.function) if task.function is not None else None
        for index, item in enumerate(sets):
            where = (*path, index)
            if isinstance(item, Output | Combined | Argument) or item is NOTHING:
                continue
            if not isinstance(item, Mapping):
                self.problems.add(where, "this must be a mapping", given=item)
                continue
            for name in cast("Mapping[str, Any]", item):
                if parameters is None:
                    signature = cast("Signature", task.signature)
                    if name not in signature.arguments:
                        self._unknown_argument(task, signature, name, where)
                elif name not in parameters.names and not parameters.takes_any:
                    self.problems.add_unknown(
                        (*where, str(name)),
                        f"{_name(task.function)}() has no argument {name!r}",
                        str(name),
                        parameters.names,
                        on_key=True,
                    )

    def _expand(self, node: TaskPlan | GroupPlan, expand: Any, path: Path) -> dict[str, Any]:
        if not isinstance(expand, Mapping) or not expand:
            self.problems.add(
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
                self._unknown_argument(cast("TaskPlan", node), signature, name, path)
                continue
            read = self.reader.value(values, (*path, name))
            if read is NOTHING or isinstance(read, Output | Combined | Argument | list | dict):
                found[name] = read
            else:
                self.problems.add(
                    (*path, name),
                    "this cannot be expanded over",
                    given=values,
                    valid="a list, a mapping, or {$output: task}",
                )
        return found

    # Other tasks

    def _note_references(self, task: TaskPlan, signature: Signature, path: Path) -> None:
        for place, values in (
            ("", task.kwargs),
            ("arguments", task.arguments),
            ("expand", task.expand),
            ("expand_kwargs", task.expand_kwargs),
        ):
            for reference in references_in(values):
                task.has_references = True
                where = (*path, place) if place else path
                self.references.append((task, "$reference", reference, where))
        if task.has_references and task.function is None:
            templated = {*signature.operator.template_fields, *_BUILDER_FIELDS}
            for name, value in task.kwargs.items():
                if name not in templated and any(True for _ in references_in(value)):
                    self.problems.add(
                        (*path, name),
                        f"{signature.name} cannot take a task's output as {name!r}",
                        valid=listed(signature.operator.template_fields),
                        hint="only an operator's template fields are filled when it runs",
                    )

    def _check_links_only(self, task: TaskPlan, given: Mapping[str, Any], path: Path) -> None:
        self.read_links(task, task.group, given, path)
        if given.keys().isdisjoint(_TEARDOWN_KEYS):
            return
        task.setup = bool(self._flag(given, "setup", path))
        teardown = given.get("teardown", False)
        if isinstance(teardown, str | list):
            names = cast("list[Any]", [teardown] if isinstance(teardown, str) else teardown)
            self.references.append((task, "teardown", names, (*path, "teardown")))
            task.teardown = True
        else:
            task.teardown = bool(self._flag(given, "teardown", path))
        task.on_failure_fail_dagrun = self._flag(given, "on_failure_fail_dagrun", path)

    def _flag(self, given: Mapping[str, Any], key: str, path: Path) -> bool | None:
        value = given.get(key)
        if value is None or isinstance(value, bool):
            return value
        self.problems.add((*path, key), "this must be true or false", given=value)
        return None

    def read_links(
        self,
        node: TaskPlan | GroupPlan,
        _group: GroupPlan,
        given: Mapping[str, Any],
        path: Path,
    ) -> None:
        """Upstream and downstream as given, to be resolved when every name is known."""
        for key in ("upstream", "downstream"):
            value = given.get(key)
            if value is not None and value not in ([], ()):
                self.references.append((node, key, value, (*path, key)))
        if isinstance(node, GroupPlan):
            for reference in references_in([node.expand, node.expand_kwargs]):
                self.references.append((node, "$reference", reference, (*path, "expand")))

    # Defaults

    def read_operator_defaults(self, given: Any, dag_path: Path) -> None:
        """Arguments for every task of one operator."""
        if given is None:
            return
        path = (*dag_path, "operator_defaults")
        if not isinstance(given, Mapping):
            self.problems.add(path, "this must be a mapping of operators to arguments", given=given)
            return
        for operator, arguments in cast("Mapping[str, Any]", given).items():
            inner = (*path, str(operator))
            signature = self._operator(operator, inner)
            if signature is None:
                continue
            if not isinstance(arguments, Mapping):
                self.problems.add(inner, "this must be a mapping of arguments", given=arguments)
                continue
            read: dict[str, Any] = {}
            for key, value in cast("Mapping[str, Any]", arguments).items():
                if key not in signature.arguments:
                    refuse_unknown(
                        self.problems,
                        inner,
                        signature.name,
                        [key],
                        signature.arguments,
                        first=sorted(signature.arguments - TASK_FIELDS.keys()),
                    )
                    continue
                kind = signature.kinds.get(key)
                where = (*inner, key)
                read[key] = (
                    self.reader.read(kind, value, where)
                    if kind
                    else self.reader.value(value, where)
                )
            self.operator_defaults[signature.operator] = read
            self.layered = True

    def check_default_args(self) -> None:
        """Airflow ignores a default that no task takes; a typing mistake would never be seen."""
        known = {*TASK_FIELDS}
        for signature in self._used.values():
            known |= signature.arguments
        for key, path in self.default_args_given:
            if key not in known:
                self.problems.add(
                    path,
                    f"no task takes {key!r}",
                    given=key,
                    valid=listed([*TASK_FIELDS, *sorted(known - TASK_FIELDS.keys())]),
                    suggestion=closest(key, known),
                    on_key=True,
                )


_ARGUMENT_KEYS = frozenset({"arguments", "partial", "expand", "expand_kwargs", "default_args"})
_FUNCTION_KEYS = frozenset({"decorator", "python"})
_TEARDOWN_KEYS = frozenset({"setup", "teardown", "on_failure_fail_dagrun"})
_BUILDER_FIELDS = frozenset({"inlets", "outlets", "params"})


def decorator_signature_of(decorated: Any) -> Signature:
    """The signature of a function that the user decorated with @task."""
    from dag_builder.operators import decorated_signature

    return decorated_signature(decorated)


def fill_function(
    task: TaskPlan, upstream: Mapping[str, str], mapped: Collection[str]
) -> tuple[list[str], bool]:
    """Give a function what is named like its parameters; return the parameters left without.

    `upstream` maps the names of upstream tasks to their ids, `mapped` are the arguments of the
    mapped groups around it.
    """
    parameters = parameters_of(cast("Callable[..., Any]", task.function))
    filled = {*task.arguments, *(task.expand or ())}
    for name in parameters.names:
        if name in filled:
            continue
        if name in upstream:
            task.arguments[name] = Output(task=f"{ABSOLUTE}{upstream[name]}")
            task.has_references = True
        elif name in mapped:
            task.arguments[name] = Argument(name=name)
            task.has_references = True
    if task.expand_kwargs is not None:
        return [], task.has_references
    filled = {*task.arguments, *(task.expand or ())}
    context = context_names()
    left = [n for n in parameters.required if n not in filled and n not in context]
    return left, task.has_references


def _name(function: Any) -> str:
    return getattr(function, "__name__", repr(function))
