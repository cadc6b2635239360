"""Keeps the plans of the DAGs that are built, for those who write them in another form."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dag_builder.read.origins import Origins

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from airflow.sdk import DAG

    from dag_builder.errors import Path, Position
    from dag_builder.plan import DagPlan


@dataclass(frozen=True, kw_only=True)
class Built:
    """A DAG, its plan with the origins of its values, and the call in a file that built it."""

    plan: DagPlan
    dag: DAG
    origins: Origins
    #: The globals of the file.
    module: dict[str, Any]
    file: str
    line: int
    #: Finds the place of a path in the DAG's YAML file.
    locate: Callable[[Path], Position | None]


@dataclass(kw_only=True)
class Keeper:
    """The DAGs that are built, in their order."""

    built: list[Built] = field(default_factory=list[Built])
    _origins: Origins = field(default_factory=Origins)

    def origins(self) -> Origins:
        """Return where the origins of the next DAG's values are kept."""
        self._origins = Origins()
        return self._origins

    def keep(
        self,
        plan: DagPlan,
        dag: DAG,
        *,
        module: dict[str, Any],
        file: str,
        line: int,
        locate: Callable[[Path], Position | None],
    ) -> None:
        """Keep a DAG, and what it is built of."""
        self.built.append(
            Built(
                plan=plan,
                dag=dag,
                origins=self._origins,
                module=module,
                file=file,
                line=line,
                locate=locate,
            )
        )


_keeper: ContextVar[Keeper | None] = ContextVar("keeper", default=None)


def keeper() -> Keeper | None:
    """Return the keeper of the DAGs that are built now, if there is one."""
    return _keeper.get()


@contextlib.contextmanager
def keeping() -> Generator[Keeper]:
    """Keep the plans of the DAGs that are built in here."""
    made = Keeper()
    token = _keeper.set(made)
    try:
        yield made
    finally:
        _keeper.reset(token)
