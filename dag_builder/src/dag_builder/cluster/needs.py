"""What the tasks of a DAG need of a cluster, as far as literal values show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from dag_builder import airflow_internals
from dag_builder.cluster.templates import names_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow.sdk import DAG

    from dag_builder.cluster.description import Kind
    from dag_builder.errors import Path

#: Values that are nested deeper are not searched.
_MAX_DEPTH = 16
_TEMPLATE_MARKS = ("{{", "{%")


@dataclass(frozen=True, kw_only=True)
class Need:
    """A task needs the thing of this kind and name.

    `where` leads from the task to the value that names it. `amount` is the number of slots of a
    pool, or the seconds that the task may take in the queue `name`. `is_default` is true if the
    operator's class names it, so that the operator may work without it.
    """

    kind: Kind
    name: str
    task_id: str
    where: Path
    amount: float = 0
    is_default: bool = False


def needs_of(dag: DAG) -> Iterator[Need]:
    """Find what each task needs, in the order of the tasks."""
    environment = dag.get_template_env()
    for task in dag.tasks:
        arguments = list(airflow_internals.arguments_given(task))
        yield from _of_the_worker(task)
        yield from _connections(task, arguments)
        for where, text in _templates(task, arguments):
            for kind, name in names_in(text, environment):
                yield Need(kind=kind, name=name, task_id=task.task_id, where=where)


def _of_the_worker(task: Any) -> Iterator[Need]:
    task_id = task.task_id
    yield Need(kind="queue", name=task.queue, task_id=task_id, where=("queue",))
    yield Need(kind="pool", name=task.pool, task_id=task_id, where=("pool",))
    slots = task.pool_slots
    yield Need(
        kind="pool_slots", name=task.pool, task_id=task_id, where=("pool_slots",), amount=slots
    )
    # While it is deferred, a task is not on a worker.
    if task.execution_timeout is not None and getattr(task, "deferrable", False) is not True:
        yield Need(
            kind="task_time",
            name=task.queue,
            task_id=task_id,
            where=("execution_timeout",),
            amount=task.execution_timeout.total_seconds(),
        )


def _connections(task: Any, arguments: Sequence[Mapping[str, Any]]) -> Iterator[Need]:
    """Arguments with a name such as ``postgres_conn_id``, of the operator or of its function."""
    implied = airflow_internals.default_arguments(airflow_internals.class_of(task))
    defaults = {value for name, value in implied.items() if _names_connection(name)}
    written = {name for given in arguments for name in given}
    left_out = {name: value for name, value in implied.items() if name not in written}
    seen: set[str] = set()
    for given in (*arguments, left_out):
        for where, text in _texts(given):
            argument = next((part for part in reversed(where) if isinstance(part, str)), "")
            if not _names_connection(argument) or text in seen or _is_template(text) or not text:
                continue
            seen.add(text)
            yield Need(
                kind="connection",
                name=text,
                task_id=task.task_id,
                where=where,
                is_default=text in defaults,
            )


def _names_connection(argument: str) -> bool:
    return argument == "conn_id" or argument.endswith("_conn_id")


def _templates(task: Any, arguments: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Path, str]]:
    """The texts that Airflow renders, those of template files included."""
    fields = tuple(task.template_fields)
    values = {name: getattr(task, name, None) for name in fields}
    rest = [{name: given[name] for name in fields if name in given} for given in arguments]
    seen: set[str] = set()
    for part in (values, *rest):
        for where, text in _texts(part):
            if _is_template(text) and text not in seen:
                seen.add(text)
                yield where, text


def _is_template(text: str) -> bool:
    return any(mark in text for mark in _TEMPLATE_MARKS)


def _texts(value: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every text in a value, with the path that leads to it."""
    if isinstance(value, str):
        yield path, value
    elif len(path) > _MAX_DEPTH:
        return
    elif isinstance(value, dict):
        for key, item in cast("dict[Any, Any]", value).items():
            yield from _texts(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from _texts(item, (*path, index))
