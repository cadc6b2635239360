"""A step of a plan: what to do, on which machine, with which command, and its line of progress.

Each step is in the module of its stage, with the rule that decides when it is needed. A new step
changes only that module.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from infra.remote.machine import Machine
    from infra.swarm.execute import Execution

SIDE_BY_SIDE = 32
"""Machines that are changed in parallel if each needs processor time of the operator's machine or
of a manager; also bounds threads."""


@dataclass(frozen=True, kw_only=True)
class Step(ABC):
    """A step of a plan; the two texts may contain the step's fields in braces."""

    TODO: ClassVar[str]
    DONE: ClassVar[str]

    @property
    @abstractmethod
    def subject(self) -> str:
        """The name of the machine that the step is about."""

    @property
    def todo(self) -> str:
        """Description of the step before it runs."""
        return f"{self.subject}: {self.TODO.format_map(vars(self))}"

    @property
    def done(self) -> str:
        """Description of the step after it has run."""
        return f"{self.subject}: {self.DONE.format_map(vars(self))}"

    @abstractmethod
    def take(self, execution: Execution) -> None:
        """Run the step's command, and wait for its effect.

        Raises:
            RemoteError: if the command failed.
            SwarmError: if its effect did not occur in time.

        """


@dataclass(frozen=True, kw_only=True)
class MachineStep(Step):
    """A step on one machine."""

    machine: Machine

    @property
    def subject(self) -> str:
        """The machine's name."""
        return self.machine.name


@dataclass(frozen=True, kw_only=True)
class NodeStep(Step):
    """A step for one node, run on a manager."""

    via: Machine
    name: str
    node_id: str

    @property
    def subject(self) -> str:
        """The node's name."""
        return self.name


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Steps that belong together: lanes run in parallel, the steps of a lane in order.

    At most ``at_once`` lanes run at the same time.
    """

    title: str
    lanes: tuple[tuple[Step, ...], ...]
    at_once: int = SIDE_BY_SIDE
