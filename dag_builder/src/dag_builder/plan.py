"""The plan of a DAG: a validated dictionary, before Airflow's objects are made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from dag_builder.errors import Path
    from dag_builder.read.operators import Signature


@dataclass(slots=True, kw_only=True, eq=False)
class GroupPlan:
    """A group of tasks, or the DAG itself (with the empty id)."""

    id: str
    name: str
    path: Path
    parent: GroupPlan | None
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    expand: Any = None
    expand_kwargs: Any = None
    #: The tasks and groups directly in it, by their own name.
    children: dict[str, TaskPlan | GroupPlan] = field(
        default_factory=dict[str, "TaskPlan | GroupPlan"]
    )

    def child_id(self, name: str) -> str:
        """The full id of a task or group of this name in here."""
        prefixed = self.id and self.kwargs.get("prefix_group_id", True)
        return f"{self.id}.{name}" if prefixed else name


@dataclass(slots=True, kw_only=True, eq=False)
class TaskPlan:
    """A task: what makes it, and with what."""

    id: str
    name: str
    path: Path
    group: GroupPlan
    #: None if `instance` is an operator that the user made, or the function makes a group.
    signature: Signature | None
    kwargs: dict[str, Any]
    function: Callable[..., Any] | None = None
    #: The word after ``@task.`` that makes a task of the function.
    decorator: str = ""
    #: The function as the user decorated it with @task, if that is how it was given.
    decorated: Any = None
    instance: Any = None
    #: Whether the function is decorated with ``@task_group``, and makes the tasks of a group.
    makes_group: bool = False
    #: Whether that function returned an operator, or its output; None for neither, or a group.
    returns: Literal["operator", "output"] | None = None
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    expand: dict[str, Any] | None = None
    expand_kwargs: Any = None
    setup: bool = False
    teardown: bool | list[str] = False
    on_failure_fail_dagrun: bool | None = None
    #: Whether any value holds an Output or Argument to be replaced.
    has_references: bool = False
    #: Whether arguments are lost to a mistake, so that what seems to be missing may be there.
    incomplete: bool = False


Node = TaskPlan | GroupPlan


def is_group(node: Node) -> bool:
    """Return whether a node is a group of tasks when it is made."""
    return isinstance(node, GroupPlan) or node.makes_group


def makes_group(node: Node) -> bool:
    """Return whether a node is a function that makes a group."""
    return isinstance(node, TaskPlan) and node.makes_group


@dataclass(slots=True, frozen=True, kw_only=True)
class Link:
    """`upstream` comes before `downstream`."""

    upstream: Node
    downstream: Node
    path: Path
    label: str = ""
    #: Whether the link is there because `downstream` uses an output of `upstream`.
    of_value: bool = False


@dataclass(slots=True, kw_only=True)
class DagPlan:
    """Everything about one DAG."""

    dag_id: str
    kwargs: dict[str, Any]
    root: GroupPlan
    #: In the order of the dictionary, with the tasks of groups in place of the groups.
    tasks: dict[str, TaskPlan] = field(default_factory=dict[str, TaskPlan])
    groups: dict[str, GroupPlan] = field(default_factory=dict[str, GroupPlan])
    links: list[Link] = field(default_factory=list[Link])

    def dissolve(self) -> None:
        """Break reference cycles of nodes, so that they are freed now and not by the collector."""
        for group in (self.root, *self.groups.values()):
            group.children = {}
        self.links = []
