"""Everything of Airflow that is not part of its public interface (``airflow.sdk``).

A new release of Airflow may move or change any of it; then this module is what changes. It is
checked against Airflow 3.2 and 3.3. Each function imports what it needs when it is called, because
importing Airflow costs seconds.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import sys
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path
    from types import ModuleType

    from airflow.sdk import DAG

_CONTEXT = "airflow.sdk.definitions._internal.contextmanager"
_TASK_RUNNER = "airflow.sdk.execution_time.task_runner"
#: What Airflow's links begin with if its option [api] base_url is not set.
DEFAULT_BASE_URL = "http://localhost:8080"


# The file that Airflow reads


def reading_module_name() -> str | None:
    """Return the name of the DAG file's module that Airflow imports now, if it does."""
    context = sys.modules.get(_CONTEXT)
    return context.DagContext.current_autoregister_module_name if context else None


def autoregister(dag: DAG, module: ModuleType) -> None:
    """Add a DAG to those that Airflow takes from the module that it imports now."""
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    DagContext.autoregistered_dags.add((dag, module))


def dag_id_of_starting_task() -> str | None:
    """Return the DAG of the task for which a worker reads a DAG file now, if a worker does.

    The parsing context alone does not show it: Airflow 3.2 and 3.3 set it in the environment and
    keep it there. So the task, and programs that it starts, still have it when they read DAGs.
    """
    runner = sys.modules.get(_TASK_RUNNER)
    if runner is None or not hasattr(runner, "SUPERVISOR_COMMS"):
        return None
    from airflow.sdk import get_current_context, get_parsing_context

    try:
        get_current_context()
    except RuntimeError:  # no task runs yet
        return get_parsing_context().dag_id
    return None


# What a DAG is made of


def context_keys() -> frozenset[str]:
    """Return the names that Airflow passes to a task's function: ``ti``, ``ds``, ``params``, …."""
    from airflow.sdk.definitions.context import KNOWN_CONTEXT_KEYS

    return frozenset(KNOWN_CONTEXT_KEYS)


def run_types() -> tuple[str, ...]:
    """Return the kinds of DAG run."""
    from airflow.sdk.api.datamodels._generated import DagRunType

    return tuple(str(item.value) for item in DagRunType)


def base_asset() -> type:
    """Return the class of assets, aliases and conditions over them."""
    from airflow.sdk.definitions.asset import BaseAsset

    return BaseAsset


def deadline_alert() -> Any:
    """Return the class of deadlines."""
    from airflow.sdk.definitions.deadline import DeadlineAlert

    return DeadlineAlert


def deadline_reference() -> Any:
    """Return the class whose attributes are the references of deadlines."""
    from airflow.sdk.definitions.deadline import DeadlineReference

    return DeadlineReference


def async_callback() -> Any:
    """Return the class of callbacks that the triggerer runs."""
    from airflow.sdk.definitions.callback import AsyncCallback

    return AsyncCallback


def sends_asynchronously(notifier: Any) -> bool:
    """Return whether a class of notifiers can send from the triggerer."""
    from airflow.sdk import BaseNotifier

    base: Any = BaseNotifier
    return notifier.async_notify is not base.async_notify


def base_url() -> str:
    """Return what links to Airflow's pages begin with, without a slash at the end."""
    from airflow import configuration

    settings: Any = configuration.conf
    found = settings.get("api", "base_url", fallback=DEFAULT_BASE_URL)
    return str(found or DEFAULT_BASE_URL).rstrip("/")


def events_timetable() -> Any:
    """Return the class of timetables with listed dates.

    The class of the same name in airflow.sdk cannot be serialized in Airflow 3.2 and 3.3: it lacks
    the attribute ``_summary``.
    """
    from airflow.timetables.events import EventsTimetable

    return EventsTimetable


def cron_timetable(expression: str, zone: Any) -> Any:
    """Return the timetable that Airflow's configuration makes of a cron expression, in a zone."""
    from airflow.sdk.definitions import dag

    module: Any = dag
    return module._create_timetable(expression, zone)  # noqa: SLF001


# Dynamic mapping


def expand_input(expand: Mapping[str, Any] | None, expand_kwargs: Any) -> Any:
    """Return what a mapped group is expanded over; `expand_kwargs` if `expand` is None."""
    from airflow.sdk.definitions._internal.expandinput import (
        DictOfListsExpandInput,
        ListOfDictsExpandInput,
    )

    if expand is not None:
        make: Any = DictOfListsExpandInput
        return make(expand)
    return ListOfDictsExpandInput(expand_kwargs)


def mapped_task_group(**kwargs: Any) -> Any:
    """Make a group of which there is one copy for each value of its ``expand_input``."""
    from airflow.sdk.definitions.taskgroup import MappedTaskGroup

    return MappedTaskGroup(**kwargs)


def mapped_argument(group: Any, name: str) -> Any:
    """Return the value that a copy of a mapped group was made for."""
    from airflow.sdk.definitions._internal.expandinput import MappedArgument

    make: Any = MappedArgument  # its attrs arguments have other names than its fields
    return make(input=group._expand_input, key=name)  # noqa: SLF001


# Groups that functions make


def is_group_function(value: object) -> bool:
    """Return whether a function is decorated with ``@task_group``."""
    module: Any = importlib.import_module("airflow.sdk.definitions.decorators.task_group")
    return isinstance(value, module._TaskGroupFactory)  # noqa: SLF001


@contextlib.contextmanager
def within(dag: DAG) -> Generator[None]:
    """Add the tasks that are made in this context to a DAG, as in ``with dag:``.

    Airflow takes a DAG from a file when its ``with`` ends; this does not.
    """
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    context: Any = DagContext
    context.push(dag)
    try:
        yield
    finally:
        context._context.popleft()  # noqa: SLF001


# What Airflow's own processes do


def dag_bag(file_or_folder: Path, *, bundle: Path) -> Any:
    """Read DAG files as the DAG processor does, without its check for the word 'airflow'."""
    from airflow.dag_processing.dagbag import BundleDagBag

    return BundleDagBag(dag_folder=str(file_or_folder), bundle_path=bundle, safe_mode=False)


def serialized(dag: DAG) -> Any:
    """Return what Airflow stores of a DAG. Raises many kinds of exception for what it cannot."""
    from airflow.serialization.serialized_objects import DagSerialization

    serialization: Any = DagSerialization
    return serialization.to_dict(dag)


def files_not_ignored(folder: Path) -> list[Path]:
    """Return the files of a folder and below that no ``.airflowignore`` in it names."""
    from airflow import configuration
    from airflow._shared.module_loading import find_path_from_directory

    settings: Any = configuration.conf
    syntax = str(settings.get("core", "dag_ignore_file_syntax", fallback="glob"))
    found = find_path_from_directory(str(folder), ".airflowignore", syntax)
    return [folder / name for name in found]


def passes_safe_mode(file: Path) -> bool:
    """Return whether Airflow's safe mode opens a file: whether it may contain a DAG."""
    from airflow.utils.file import might_contain_dag_via_default_heuristic

    return might_contain_dag_via_default_heuristic(str(file))


def make_database() -> None:
    """Create the tables of the metadata database that the settings name."""
    from airflow import settings
    from airflow.utils.db import initdb

    airflow_settings: Any = settings
    airflow_settings.configure_orm()
    initdb()


# What an object is made of


def how_made(value: Any) -> dict[str, Any] | None:
    """Return the arguments that make an object of Airflow again, or None if it does not show them.

    Params show what they hold. Other classes are made by attrs, whose fields are arguments.
    """
    from airflow.sdk import Asset, Param
    from airflow.sdk.definitions._internal.types import NOTSET

    if type(value) is Param:
        param: Any = value
        default = {} if param.value is NOTSET else {"default": param.value}
        description = {"description": param.description} if param.description else {}
        return {**default, **description, **param.schema}
    import attrs

    kind: Any = cast("object", type(value))
    if not attrs.has(kind):
        return None
    found: dict[str, Any] = {}
    for one in attrs.fields(kind):
        given = getattr(value, one.name, attrs.NOTHING)
        default: Any = one.default
        if hasattr(default, "takes_self"):
            default = attrs.NOTHING if default.takes_self else default.factory()
        if one.init and one.alias and given is not attrs.NOTHING and given != default:
            found[one.alias] = given
    if isinstance(value, Asset):  # its default values, from its name or fixed
        implied = {"uri": value.name, "group": "asset"}
        found = {key: item for key, item in found.items() if implied.get(key) != item}
    return found


def asset_operator(value: Any) -> str:
    """Return the operator that makes a condition of assets: ``&``, ``|``, or none."""
    from airflow.sdk import AssetAll, AssetAny

    if isinstance(value, AssetAll):
        return "&"
    return "|" if isinstance(value, AssetAny) else ""


def deadline_reference_name(value: Any) -> str | None:
    """Return the name of one of the references of deadlines that have no arguments."""
    references = deadline_reference()
    names = ("DAGRUN_LOGICAL_DATE", "DAGRUN_QUEUED_AT")
    return next((name for name in names if getattr(references, name, None) is value), None)


def operator_arguments(operator: Any) -> dict[str, Any]:
    """Return the arguments that an operator was made with."""
    return dict(operator._BaseOperator__init_kwargs)  # noqa: SLF001


def arguments_given(operator: Any) -> Iterator[Mapping[str, Any]]:
    """Return the arguments of an operator, and what a mapped one is expanded over.

    Of an argument that is expanded over a list, the value is that list.
    """
    if not hasattr(operator, "partial_kwargs"):
        yield operator_arguments(operator)
        return
    yield operator.partial_kwargs
    # What a function is expanded over is beside what its operator is.
    for expanded in (operator.expand_input, getattr(operator, "op_kwargs_expand_input", None)):
        value = getattr(expanded, "value", None)
        parts = cast("list[Any]", value if isinstance(value, list) else [value])
        yield from (part for part in parts if isinstance(part, dict))


def argument(operator: Any, name: str) -> Any:
    """Return an argument that an operator, or each one of a mapped operator, has; or None."""
    if not hasattr(operator, "partial_kwargs"):
        return getattr(operator, name, None)
    given: dict[str, Any] = operator.partial_kwargs
    return given.get(name)


def class_of(operator: Any) -> Any:
    """Return the class of an operator, or of the operators that a mapped one is expanded to."""
    kind: Any = cast("object", type(operator))
    return getattr(operator, "operator_class", None) or kind


def default_queue() -> str:
    """Return the queue of a task that names none, as Airflow is configured here."""
    from airflow import configuration

    settings: Any = configuration.conf
    return str(settings.get("operators", "default_queue"))


@functools.cache
def default_arguments(kind: Any) -> Mapping[str, str]:
    """Return the default texts in the signatures of an operator's class and its bases."""
    found: dict[str, str] = {}
    bases: tuple[Any, ...] = kind.__mro__
    for base in reversed(bases):
        own = cast("dict[str, Any]", vars(base))
        made = own.get("__init__")
        parameters = inspect.signature(made).parameters.values() if made else ()
        found |= {one.name: one.default for one in parameters if isinstance(one.default, str)}
    return found


def dags_of_code(code: str, *, file: str, name: str) -> dict[str, DAG]:
    """Run the code of a DAG file and return its DAGs, as Airflow does when it reads the file.

    The code has `file` as its ``__file__`` and `name` as its module's name.
    """
    import linecache
    import types

    from airflow.sdk import DAG
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    shown = f"<ejected {file}>"
    linecache.cache[shown] = (len(code), None, code.splitlines(keepends=True), shown)
    module = types.ModuleType(name)
    module.__file__ = file
    before = sys.modules.get(name)
    reading = DagContext.current_autoregister_module_name
    sys.modules[name] = module
    DagContext.autoregistered_dags.clear()
    DagContext.current_autoregister_module_name = name
    try:
        exec(compile(code, shown, "exec"), module.__dict__)  # noqa: S102
        found = [dag for dag, _ in DagContext.autoregistered_dags]
    finally:
        DagContext.current_autoregister_module_name = reading
        DagContext.autoregistered_dags.clear()
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
    found += [value for value in vars(module).values() if isinstance(value, DAG)]
    return {dag.dag_id: dag for dag in found}
