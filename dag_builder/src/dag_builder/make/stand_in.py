"""Defers building the DAGs of a file that a worker reads for one task of another DAG.

Before each task, a worker imports the task's DAG file and takes one DAG from it. Airflow names that
DAG in the parsing context (``airflow.sdk.get_parsing_context``), so that the others need not be
built. A DAG file may still use what build_dag returns: each other DAG is built at its first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from dag_builder import airflow_internals
from dag_builder.make import register

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import DAG


def is_wanted(dag_id: object, module_name: str) -> bool:
    """Return whether a DAG must be built now: unless Airflow reads this file for another DAG."""
    if not register.is_read_by_airflow(module_name):
        return True
    wanted = airflow_internals.dag_id_of_starting_task()
    return wanted is None or wanted == dag_id


def stand_in(dag_id: str, build: Callable[[], DAG]) -> DAG:
    """Return an object that calls `build` at its first use and then behaves as that DAG.

    It is not an instance of DAG: Airflow takes each instance from a module, and would build it.
    """
    return cast("DAG", _StandIn(dag_id, build))


class _StandIn:
    """A DAG that is built when anything but its id is used."""

    __slots__ = ("_build", "_built", "dag_id")

    def __init__(self, dag_id: str, build: Callable[[], DAG]) -> None:
        object.__setattr__(self, "dag_id", dag_id)
        object.__setattr__(self, "_build", build)
        object.__setattr__(self, "_built", None)

    def __getattr__(self, name: str) -> Any:
        return getattr(_dag_of(self), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(_dag_of(self), name, value)

    def __enter__(self) -> Any:
        return _dag_of(self).__enter__()

    def __exit__(self, *error: object) -> None:
        leave: Any = getattr(_dag_of(self), "__exit__")  # noqa: B009 - Airflow does not type it
        leave(*error)

    def __repr__(self) -> str:
        return f"<DAG: {object.__getattribute__(self, 'dag_id')}>"


def _dag_of(one: _StandIn) -> DAG:
    built = object.__getattribute__(one, "_built")
    if built is None:
        built = object.__getattribute__(one, "_build")()
        object.__setattr__(one, "_built", built)
    return built
