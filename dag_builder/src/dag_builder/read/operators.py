"""Operators by short name or import path, and what each one's signature takes.

A class is inspected once in a process; every task of that class is then checked against sets.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from dag_builder.errors import closest, listed
from dag_builder.fields import IGNORED_ARGUMENTS, TASK_OWN_FIELDS
from dag_builder.read.argument_types import ANYTHING, ArgumentType, type_of
from dag_builder.read.imports import ImportPathError, import_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from importlib.metadata import EntryPoint

_STANDARD = "airflow.providers.standard"
_SQL = "airflow.providers.common.sql"

#: Short names. A package of yours adds its own by an entry point of the group
#: ``dag_builder.operators``; a DAG file by register_operator().
OPERATORS: dict[str, str] = {
    "bash": f"{_STANDARD}.operators.bash.BashOperator",
    "python": f"{_STANDARD}.operators.python.PythonOperator",
    "branch_python": f"{_STANDARD}.operators.python.BranchPythonOperator",
    "short_circuit": f"{_STANDARD}.operators.python.ShortCircuitOperator",
    "external_python": f"{_STANDARD}.operators.python.ExternalPythonOperator",
    "branch_external_python": f"{_STANDARD}.operators.python.BranchExternalPythonOperator",
    "virtualenv": f"{_STANDARD}.operators.python.PythonVirtualenvOperator",
    "branch_virtualenv": f"{_STANDARD}.operators.python.BranchPythonVirtualenvOperator",
    "empty": f"{_STANDARD}.operators.empty.EmptyOperator",
    "latest_only": f"{_STANDARD}.operators.latest_only.LatestOnlyOperator",
    "branch_date_time": f"{_STANDARD}.operators.datetime.BranchDateTimeOperator",
    "branch_day_of_week": f"{_STANDARD}.operators.weekday.BranchDayOfWeekOperator",
    "trigger_dag_run": f"{_STANDARD}.operators.trigger_dagrun.TriggerDagRunOperator",
    "human_approval": f"{_STANDARD}.operators.hitl.ApprovalOperator",
    "human_branch": f"{_STANDARD}.operators.hitl.HITLBranchOperator",
    "human_entry": f"{_STANDARD}.operators.hitl.HITLEntryOperator",
    "file_sensor": f"{_STANDARD}.sensors.filesystem.FileSensor",
    "bash_sensor": f"{_STANDARD}.sensors.bash.BashSensor",
    "python_sensor": f"{_STANDARD}.sensors.python.PythonSensor",
    "external_task_sensor": f"{_STANDARD}.sensors.external_task.ExternalTaskSensor",
    "date_time_sensor": f"{_STANDARD}.sensors.date_time.DateTimeSensor",
    "time_sensor": f"{_STANDARD}.sensors.time.TimeSensor",
    "time_delta_sensor": f"{_STANDARD}.sensors.time_delta.TimeDeltaSensor",
    "day_of_week_sensor": f"{_STANDARD}.sensors.weekday.DayOfWeekSensor",
    "sql": f"{_SQL}.operators.sql.SQLExecuteQueryOperator",
    "sql_check": f"{_SQL}.operators.sql.SQLCheckOperator",
    "sql_value_check": f"{_SQL}.operators.sql.SQLValueCheckOperator",
    "sql_column_check": f"{_SQL}.operators.sql.SQLColumnCheckOperator",
    "sql_table_check": f"{_SQL}.operators.sql.SQLTableCheckOperator",
    "sql_insert_rows": f"{_SQL}.operators.sql.SQLInsertRowsOperator",
    "sql_branch": f"{_SQL}.operators.sql.BranchSQLOperator",
    "sql_transfer": f"{_SQL}.operators.generic_transfer.GenericTransfer",
    "sql_sensor": f"{_SQL}.sensors.sql.SqlSensor",
    "http": "airflow.providers.http.operators.http.HttpOperator",
    "http_sensor": "airflow.providers.http.sensors.http.HttpSensor",
    "email": "airflow.providers.smtp.operators.smtp.EmailOperator",
    "docker": "airflow.providers.docker.operators.docker.DockerOperator",
    "kubernetes_pod": "airflow.providers.cncf.kubernetes.operators.pod.KubernetesPodOperator",
    "ssh": "airflow.providers.ssh.operators.ssh.SSHOperator",
}

#: The standard TaskFlow decorators. Others of installed providers are found by Airflow.
DECORATORS: dict[str, str] = {
    "python": f"{_STANDARD}.decorators.python.python_task",
    "branch": f"{_STANDARD}.decorators.branch_python.branch_task",
    "short_circuit": f"{_STANDARD}.decorators.short_circuit.short_circuit_task",
    "sensor": f"{_STANDARD}.decorators.sensor.sensor_task",
    "bash": f"{_STANDARD}.decorators.bash.bash_task",
    "virtualenv": f"{_STANDARD}.decorators.python_virtualenv.virtualenv_task",
    "external_python": f"{_STANDARD}.decorators.external_python.external_python_task",
    "branch_virtualenv": f"{_STANDARD}.decorators.branch_virtualenv.branch_virtualenv_task",
    "branch_external_python": (
        f"{_STANDARD}.decorators.branch_external_python.branch_external_python_task"
    ),
}

#: Keys of a task that no operator gets, unless it takes one of _OPERATORS_FIRST itself.
BUILDER_KEYS = frozenset(TASK_OWN_FIELDS)
_OPERATORS_FIRST = frozenset({"arguments", "callable", "decorator", "notify", "python"})
_ENTRY_POINT_GROUP = "dag_builder.operators"
#: What the builder itself passes to an operator.
_BUILDER_PASSES = frozenset({"task_id", "dag", "task_group", "default_args"})
#: What a decorator makes of the function and its arguments.
_DECORATOR_PASSES = frozenset({"python_callable", "op_args", "op_kwargs", "python"})


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What an operator takes: its arguments, the required ones, and their types."""

    operator: Any
    name: str
    arguments: frozenset[str]
    required: frozenset[str]
    types: dict[str, ArgumentType]
    plain: dict[str, frozenset[type]]
    makes: Callable[..., Any]
    #: Keys of a task that the builder reads itself. An operator's own argument goes before those
    #: that are meant for functions, and before notify.
    builder_keys: frozenset[str] = BUILDER_KEYS
    #: Names that an ``__init__`` with ``**kwargs`` mentions, such as in ``kwargs.pop("mine")``.
    mentioned: frozenset[str] = frozenset()
    #: Whether an ``__init__`` outside of Airflow has ``**kwargs``, so that it may take any name.
    takes_any: bool = False

    def type_of(self, name: str) -> ArgumentType:
        """Return the type of an argument; of one that is not in a signature it is unknown."""
        return self.types.get(name, ANYTHING)

    def accepts(self, name: str) -> bool:
        """Return whether the operator takes, or may take, an argument of this name.

        Of an operator with ``**kwargs`` a name that is close to a known one is a typing mistake.
        """
        if name in self.arguments or name in self.mentioned:
            return True
        if not self.takes_any or name in self.builder_keys or name in IGNORED_ARGUMENTS:
            return False
        return name.isidentifier() and not closest(name, self.arguments | self.builder_keys)


def register_operator(name: str, path: str) -> None:
    """Give an operator a short name for the DAGs of this process: ``("spark", "a.b.Spark")``."""
    OPERATORS[name] = path
    _path_of.cache_clear()
    signature_of.cache_clear()


@functools.lru_cache(maxsize=1024)
def signature_of(operator: object) -> Signature:
    """The signature of an operator: its class, its import path, or its short or class name.

    Raises ImportPathError if there is no such operator.
    """
    found = import_object(_path_of(operator)) if isinstance(operator, str) else operator
    from airflow.sdk import BaseOperator

    if not (isinstance(found, type) and issubclass(found, BaseOperator)):
        message = f"{_name(cast('object', found))} is not an operator"
        raise ImportPathError(message, valid="a class made from BaseOperator")
    return _signature(found, found, hidden=frozenset())


@functools.cache
def decorator_signature(name: str) -> Signature:
    """The signature of the operator behind ``@task.<name>``. Raises ImportPathError."""
    if name in DECORATORS:
        decorator = import_object(DECORATORS[name])
    else:
        decorator = _decorator_of_providers(name)
    # By keyword: the first argument of external_python_task is the interpreter.
    made = cast("Any", decorator)(python_callable=_nothing)
    return _signature(
        made.operator_class, cast("Callable[..., Any]", decorator), hidden=_DECORATOR_PASSES
    )


def decorated_signature(decorated: Any) -> Signature:
    """The signature of the operator that a function decorated with @task becomes."""

    def makes(**kwargs: Any) -> Callable[..., Any]:
        def decorate(_function: Callable[..., Any]) -> Any:
            return decorated.override(**kwargs)

        return decorate

    return _signature(decorated.operator_class, makes, hidden=_DECORATOR_PASSES)


def _nothing() -> None:
    """A function to decorate, to learn which operator the decorator makes."""


def _decorator_of_providers(name: str) -> object:
    from airflow.sdk import task

    # What the class itself has (run_if, skip_if, __call__) decorates tasks and makes none.
    found = None if hasattr(type(task), name) else getattr(task, name, None)
    if found is None:
        msg = f"there is not a decorator @task.{name}"
        raise ImportPathError(
            msg,
            valid=listed(DECORATORS),
            suggestion=closest(name, DECORATORS),
        )
    return found


@functools.lru_cache(maxsize=1024)
def _path_of(name: str) -> str:
    if name in OPERATORS:
        return OPERATORS[name]
    if "." in name or ":" in name:
        return name
    by_class = {class_name(short): path for short, path in OPERATORS.items()}
    if name in by_class:
        return by_class[name]
    for entry in _entry_points():
        if entry.name == name:
            return entry.value
    msg = f"there is not an operator {name!r}"
    raise ImportPathError(
        msg,
        valid=f"{listed(OPERATORS)}, or an import path",
        suggestion=closest(name, [*OPERATORS, *by_class]),
    )


def class_name(name: str) -> str:
    """The class's name of an operator with a short name: ``bash`` → ``BashOperator``."""
    return OPERATORS[name].rpartition(".")[2]


def entry_point_names() -> list[str]:
    """The short names that installed packages add."""
    return [entry.name for entry in _entry_points()]


def _entry_points() -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points

    return entry_points(group=_ENTRY_POINT_GROUP)


def _signature(operator: type, makes: Callable[..., Any], *, hidden: frozenset[str]) -> Signature:
    """Join the signatures of a class and of those that it passes its other arguments to."""
    parameters: dict[str, inspect.Parameter] = {}
    required: frozenset[str] = frozenset()
    mentioned: set[str] = set()
    takes_any = False
    outermost = True
    for base in operator.__mro__:
        if "__init__" not in vars(base):
            continue
        own = inspect.signature(vars(base)["__init__"]).parameters
        named = {
            name: parameter
            for name, parameter in own.items()
            if name != "self"
            and parameter.kind in {parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD}
        }
        if outermost:
            required = frozenset(n for n, p in named.items() if p.default is p.empty)
        outermost = False
        parameters = {**named, **parameters}
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):
            break
        if not base.__module__.startswith("airflow."):
            takes_any = True
            mentioned |= _words_in(vars(base)["__init__"])
    arguments = parameters.keys() - _BUILDER_PASSES - hidden - IGNORED_ARGUMENTS.keys()
    templated = frozenset(cast("tuple[str, ...]", getattr(operator, "template_fields", ())))
    types = {
        name: type_of(parameters[name], templated=name in templated) for name in sorted(arguments)
    }
    return Signature(
        operator=operator,
        name=getattr(operator, "custom_operator_name", operator.__name__),
        arguments=frozenset(arguments),
        required=required - _BUILDER_PASSES - hidden,
        types=types,
        plain={name: of.plain for name, of in types.items()},
        makes=makes,
        builder_keys=BUILDER_KEYS if hidden else BUILDER_KEYS - (_OPERATORS_FIRST & arguments),
        mentioned=frozenset(mentioned) - parameters.keys(),
        takes_any=takes_any,
    )


def _words_in(function: Callable[..., Any]) -> set[str]:
    """Return the names that a function's code has as text."""
    code: Any = getattr(inspect.unwrap(function), "__code__", None)
    constants: list[Any] = list(code.co_consts) if code else []
    return {word for word in constants if isinstance(word, str) and word.isidentifier()}


def _name(found: object) -> str:
    return getattr(found, "__name__", repr(found))
