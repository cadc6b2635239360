"""What is shared by everything that reads the tasks of one DAG."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dag_builder.fields import TASK_OWN_FIELDS

if TYPE_CHECKING:
    from dag_builder.errors import Path, Problems
    from dag_builder.plan import DagPlan, GroupPlan, TaskPlan
    from dag_builder.read.operators import Signature
    from dag_builder.read.values import Reader

    Reference = tuple[TaskPlan | GroupPlan, str, Any, Path]

#: Keys of a task that are no arguments of its operator.
OWN_KEYS = frozenset(TASK_OWN_FIELDS)


@dataclass(slots=True, kw_only=True, eq=False)
class TaskContext:
    """The state of reading one DAG's tasks.

    What can only be judged when every task is known (names, cycles, arguments that come from
    upstream) is kept in `references` for links.py.
    """

    reader: Reader
    plan: DagPlan
    #: upstream, downstream and teardown as given: (node, key, value, its path).
    references: list[Reference] = field(default_factory=list["Reference"])
    default_args_given: list[tuple[str, Path]] = field(default_factory=list["tuple[str, Path]"])
    operator_defaults: dict[object, dict[str, Any]] = field(
        default_factory=dict[object, "dict[str, Any]"]
    )
    #: Whether some default is more than Airflow's default_args can do by themselves.
    layered: bool = False
    #: The signature of each operator in the DAG, by its id().
    used: dict[int, Signature] = field(default_factory=dict[int, "Signature"])
    #: The path of each operator that the user made, by its id().
    instances: dict[int, Path] = field(default_factory=dict[int, "Path"])

    @property
    def problems(self) -> Problems:
        """The mistakes of the DAG."""
        return self.reader.problems
