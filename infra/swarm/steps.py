"""The steps that a plan is made of. Each is data: what, on which machine, through which manager.

``todo`` says a step before it is taken, ``done`` after it; both start with the name of the
machine that it is about.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.remote.machine import Machine, Role
    from infra.swarm.release import Release

SIDE_BY_SIDE = 32
"""Machines that are worked on at once where each asks for processor time, the operator's own or a
manager's; bounds threads as well."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Anything that a plan holds; the two texts may name the step's fields in braces."""

    TODO: ClassVar[str]
    DONE: ClassVar[str]

    @property
    def subject(self) -> str:
        """The name of the machine that the step is about."""
        raise NotImplementedError

    @property
    def todo(self) -> str:
        """The step in words, before it is taken."""
        return f"{self.subject}: {self.TODO.format_map(vars(self))}"

    @property
    def done(self) -> str:
        """The step in words, after it was taken."""
        return f"{self.subject}: {self.DONE.format_map(vars(self))}"


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
    """A step about one node, taken through a manager."""

    via: Machine
    name: str
    node_id: str

    @property
    def subject(self) -> str:
        """The node's name."""
        return self.name


class InstallNftables(MachineStep):
    """Install the firewall's command from the system's packages."""

    TODO = "install nftables"
    DONE = "nftables installed"


class InstallEngine(MachineStep):
    """Install Docker's engine from the system's packages, and start it."""

    TODO = "install Docker's engine"
    DONE = "Docker's engine installed"


class StartEngine(MachineStep):
    """Start an engine that is installed but does not run."""

    TODO = "start Docker's engine"
    DONE = "Docker's engine started"


@dataclass(frozen=True, kw_only=True)
class LoadFirewall(MachineStep):
    """Replace the machine's firewall in one transaction, now and at every boot."""

    ruleset: str = field(repr=False)
    members: int

    TODO = "load the firewall for {members} members"
    DONE = "firewall loaded for {members} members"


@dataclass(frozen=True, kw_only=True)
class TrustRegistry(MachineStep):
    """Let the machine's engine trust a registry's certificate."""

    registry: str
    certificate: str = field(repr=False)

    TODO = "trust the registry {registry}"
    DONE = "trusts the registry {registry}"


@dataclass(frozen=True, kw_only=True)
class DistrustRegistry(MachineStep):
    """Take a certificate of ours away that is wanted no more."""

    registry: str

    TODO = "trust the registry {registry} no more"
    DONE = "trusts the registry {registry} no more"


class ForgetSwarm(MachineStep):
    """Leave a swarm that knows this machine no more, or that is lost."""

    TODO = "forget a swarm that is gone"
    DONE = "forgot a swarm that is gone"


@dataclass(frozen=True, kw_only=True)
class InitSwarm(MachineStep):
    """Make a new swarm. ``address_pool`` is where overlay networks take their subnets from."""

    address_pool: str = ""

    TODO = "initialise the swarm"
    DONE = "swarm initialised"


@dataclass(frozen=True, kw_only=True)
class RecoverSwarm(InitSwarm):
    """Take the swarm up from its manager's disk, alone: the certificates have expired.

    ``is_expired`` tells whether that manager's has too.
    """

    is_expired: bool

    TODO = "recover the swarm from its disk, since the certificates have expired"
    DONE = "swarm recovered from its disk; the other nodes join it again"


@dataclass(frozen=True, kw_only=True)
class SetCertificateValidity(Step):
    """Let the swarm make certificates that are valid for longer than the usual 90 days."""

    via: Machine
    seconds: int

    TODO = "let the swarm's certificates be valid for {days} days"
    DONE = "the swarm's certificates are valid for {days} days from their renewal on"

    @property
    def subject(self) -> str:
        """The name of the manager that sets it."""
        return self.via.name

    @property
    def todo(self) -> str:
        """The step in words, before it is taken."""
        return f"{self.subject}: {self.TODO.format(days=self.seconds // 86400)}"

    @property
    def done(self) -> str:
        """The step in words, after it was taken."""
        return f"{self.subject}: {self.DONE.format(days=self.seconds // 86400)}"


@dataclass(frozen=True, kw_only=True)
class Join(MachineStep):
    """Join the swarm, drained, by way of the managers' private addresses."""

    role: Role
    managers: tuple[str, ...]

    TODO = "join the swarm as {role}"
    DONE = "joined the swarm as {role}"


class RemoveNode(NodeStep):
    """Take a node off the managers' list."""

    TODO = "remove the node from the swarm's list"
    DONE = "gone from the swarm's list"


class Promote(NodeStep):
    """Make a worker a manager."""

    TODO = "promote to manager"
    DONE = "promoted to manager"


@dataclass(frozen=True, kw_only=True)
class Demote(NodeStep):
    """Make a manager a worker; ``machine`` is None where it does not answer."""

    machine: Machine | None

    TODO = "demote to worker"
    DONE = "demoted to worker"


@dataclass(frozen=True, kw_only=True)
class NodeChange:
    """What is to change of a node. ``node_id`` is empty for one that has yet to join."""

    name: str
    node_id: str
    add_labels: Mapping[str, str] = field(default_factory=dict[str, str])
    remove_labels: tuple[str, ...] = ()
    activate: bool = False

    @property
    def words(self) -> str:
        """The change in words."""
        parts = [f"{key}={value}" for key, value in sorted(self.add_labels.items())]
        parts += [f"no {key}" for key in self.remove_labels]
        words = [f"labels {', '.join(parts)}"] if parts else []
        words += ["availability active"] if self.activate else []
        return ", ".join(words)


@dataclass(frozen=True, kw_only=True)
class UpdateNodes(Step):
    """Set labels and availability of several nodes in one go."""

    via: Machine
    changes: tuple[NodeChange, ...]

    @property
    def subject(self) -> str:
        """The names of the nodes."""
        return ", ".join(change.name for change in self.changes)

    @property
    def todo(self) -> str:
        """A line for each node."""
        return "\n".join(f"{change.name}: set {change.words}" for change in self.changes)

    @property
    def done(self) -> str:
        """A line for each node."""
        return "\n".join(f"{change.name}: {change.words}" for change in self.changes)


class Drain(NodeStep):
    """Let the swarm stop the node's tasks, and give it no new ones."""

    TODO = "drain"
    DONE = "draining"


@dataclass(frozen=True, kw_only=True)
class AwaitTasks(NodeStep):
    """Wait until no task runs on a drained node: draining itself does not wait (moby#33220)."""

    timeout: float

    TODO = "wait until no task runs on it"
    DONE = "no task runs on it any more"


class Leave(MachineStep):
    """Leave the swarm, from the machine's side."""

    TODO = "leave the swarm"
    DONE = "left the swarm"


@dataclass(frozen=True, kw_only=True)
class CleanMachine(MachineStep):
    """Remove the firewall and the files of ours; from a machine that stays, all that is ours."""

    release: Release | None = None

    TODO = "remove the firewall and our files"
    DONE = "firewall and our files removed"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Steps that belong together: lanes run side by side, the steps of a lane in order.

    At most ``at_once`` lanes run at the same time.
    """

    title: str
    lanes: tuple[tuple[Step, ...], ...]
    at_once: int = SIDE_BY_SIDE
