"""What is shared by everything that reads the tasks of one DAG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from dag_builder.read.argument_types import read_argument
from dag_builder.references import references_in

if TYPE_CHECKING:
    from dag_builder.errors import Path, Problems
    from dag_builder.plan import DagPlan, GroupPlan, TaskPlan
    from dag_builder.read.argument_types import ArgumentType
    from dag_builder.read.notifications import Notice
    from dag_builder.read.operators import Signature
    from dag_builder.read.values import Reader

    Reference = tuple[TaskPlan | GroupPlan, str, Any, Path]


@dataclass(slots=True, kw_only=True, eq=False)
class RawDefault:
    """A value in default_args that is read by the type that each operator gives it.

    It stays in its layer of default_args until every task is read.
    """

    value: Any
    path: Path
    layer: dict[str, Any]
    #: What was made of it for each type.
    found: dict[ArgumentType, Any] = field(default_factory=dict["ArgumentType", Any])

    def read(self, reader: Reader, expected: ArgumentType) -> Any:
        """Return the value as an argument of this type. A mistake is reported once."""
        if expected not in self.found:
            self.found[expected] = read_argument(reader, expected, self.value, self.path)
        return self.found[expected]


@dataclass(slots=True, kw_only=True, eq=False)
class TaskContext:
    """The state of reading one DAG's tasks.

    What can be checked only when every task is read (names, cycles, arguments that come from
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
    raw_defaults: list[RawDefault] = field(default_factory=list[RawDefault])
    #: Whether some default is more than Airflow's default_args can do by themselves.
    layered: bool = False
    #: The signature of each operator in the DAG, by its id().
    used: dict[int, Signature] = field(default_factory=dict[int, "Signature"])

    def values_by_name(self, task: TaskPlan, given: object, path: Path) -> Mapping[str, Any]:
        """Return the values; none if nothing is given, or if it is a mistake, which is noted."""
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            self.problems.add(path, "this must be a mapping", given=given)
            task.incomplete = True
            return {}
        return cast("Mapping[str, Any]", given)

    def note_references(self, task: TaskPlan, values: object, path: Path) -> None:
        """Keep what a task's values refer to, for links.py."""
        for reference, inner in references_in(values, path):
            task.has_references = True
            self.references.append((task, "$reference", reference, inner))

    #: Notices of the DAG's own notify that are about each of its tasks.
    notices_of_tasks: list[Notice] = field(default_factory=list["Notice"])
    #: Whether the default_args of the DAG or a group have notify.
    default_notices: bool = False
    #: Whether functions make groups, so that there are tasks that only Airflow sees.
    makes_groups: bool = False
    #: The path of each operator that the user made, by its id().
    instances: dict[int, Path] = field(default_factory=dict[int, "Path"])

    @property
    def problems(self) -> Problems:
        """The mistakes of the DAG."""
        return self.reader.problems
