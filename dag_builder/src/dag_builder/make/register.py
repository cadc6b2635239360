"""Puts a built DAG where Airflow looks for it, and a broken one where Airflow shows it.

Airflow takes the DAG objects of a file's module. When the module raises, every DAG of the file is
lost (airflow/dag_processing/importers/python_importer.py, 3.3). When one DAG's validate() raises,
that is the file's import error and the other DAGs stay (dagbag.py, process_file). So while
Airflow reads a file, a broken DAG leaves a BrokenDags object there, whose validate() raises.
Anywhere else (a test, a shell, the command line) the mistake is raised at once.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from dag_builder import airflow_internals
from dag_builder.errors import DagError, Problem

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import ModuleType

    from airflow.sdk import DAG

#: The name in a DAG file's module under which its broken DAGs are kept.
BROKEN = "__broken_dags__"
#: The name in a DAG file's module under which the names that were looked at are kept.
SEEN = "__seen_by_dag_builder__"
_VARIABLE = "dag:"


def is_read_by_airflow(module_name: str) -> bool:
    """Whether Airflow is reading a DAG file now, and this module is that file or used by it."""
    reading = airflow_internals.reading_module_name()
    return reading is not None and (reading == module_name or reading in sys.modules)


def register(dag: DAG, module: dict[str, Any]) -> None:
    """Let Airflow find `dag` in the module whose globals these are.

    Raises DagError if the module already has another DAG of that id, of which Airflow would
    silently drop one.
    """
    name = _variable(dag.dag_id)
    for other in (module.get(name), *_of_the_author(module)):
        if other is not dag and getattr(other, "dag_id", None) == dag.dag_id and _is_dag(other):
            problem = Problem(
                path=(dag.dag_id,),
                message=f"this file has two DAGs with the id {dag.dag_id!r}",
                hint="Airflow would keep one of them without a warning",
            )
            raise DagError([problem])
    if dag.auto_register:
        module[name] = dag
        reading = _module_read_by_airflow()
        if reading is not None and reading.__dict__ is not module:
            airflow_internals.autoregister(dag, reading)


@dataclass(frozen=True, kw_only=True)
class Reported:
    """A mistake in a DAG of a Python file that Airflow read, and the line that builds the DAG."""

    file: str
    line: int
    problem: Problem


#: Where mistakes are collected beside their text, which is all that Airflow keeps of them.
_collected: ContextVar[list[Reported] | None] = ContextVar("collected", default=None)


@contextlib.contextmanager
def collecting() -> Generator[list[Reported]]:
    """Collect the mistakes that are reported in here."""
    found: list[Reported] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def report(error: DagError, module: dict[str, Any], fileloc: str, line: int = 0) -> DAG:
    """Keep a broken DAG's mistakes for Airflow to show; raise them if Airflow is not reading.

    `line` is that of the call which builds the DAG.
    """
    if not is_read_by_airflow(str(module.get("__name__", ""))):
        raise error
    reading = _module_read_by_airflow()
    place = module if reading is None else reading.__dict__
    broken = place.get(BROKEN)
    if broken is None:
        broken = place[BROKEN] = _new_broken_dags(fileloc)
    broken.problems.extend(error.problems)
    collected = _collected.get()
    if collected is not None:
        collected.extend(
            Reported(file=fileloc, line=line, problem=problem) for problem in error.problems
        )
    return broken


def _module_read_by_airflow() -> ModuleType | None:
    name = airflow_internals.reading_module_name()
    return sys.modules.get(name) if name else None


def _of_the_author(module: dict[str, Any]) -> Iterator[object]:
    """The values of a module that this library did not add.

    A module may have thousands of names. They keep their order, so only new ones are examined.
    """
    seen: _Seen | None = module.get(SEEN)
    if seen is None or seen.count > len(module):
        seen = module[SEEN] = _Seen()
    for key in itertools.islice(module, seen.count, None):
        if not key.startswith((_VARIABLE, "__")):
            seen.names.append(key)
    seen.count = len(module)
    return (module[key] for key in seen.names if key in module)


@dataclass(kw_only=True)
class _Seen:
    count: int = 0
    names: list[str] = field(default_factory=list[str])


def _variable(dag_id: str) -> str:
    """A name for the DAG in its module that no variable of the user has."""
    return f"{_VARIABLE}{dag_id}"


def _is_dag(value: object) -> bool:
    from airflow.sdk import DAG

    return isinstance(value, DAG)


def _new_broken_dags(fileloc: str) -> Any:
    from airflow.sdk import DAG

    class BrokenDags(DAG):
        """Represents the DAGs of a file that could not be built; any use raises the reason."""

        problems: list[Problem]

        def validate(self) -> None:
            raise DagError(self.problems)

        def _refuse(self, *_: object, **__: object) -> NoReturn:
            raise DagError(self.problems)

        get_task = has_task = add_task = test = cli = __enter__ = _refuse

        def __hash__(self) -> int:
            return id(self)

    broken = BrokenDags("broken_dags_of_this_file")
    broken.problems = []
    broken.fileloc = fileloc
    return broken
