"""Steps of a plan. Each is data: what to do, on which machine, through which manager.

``todo`` describes a step before it runs, ``done`` after it; both start with the name of its
machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.remote.machine import Machine, Role
    from infra.swarm.release import Release

SIDE_BY_SIDE = 32
"""Machines that are changed in parallel if each needs processor time of the operator's machine or
of a manager; also bounds threads."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a plan; the two texts may contain the step's fields in braces."""

    TODO: ClassVar[str]
    DONE: ClassVar[str]

    @property
    def subject(self) -> str:
        """The name of the machine that the step is about."""
        raise NotImplementedError

    @property
    def todo(self) -> str:
        """Description of the step before it runs."""
        return f"{self.subject}: {self.TODO.format_map(vars(self))}"

    @property
    def done(self) -> str:
        """Description of the step after it has run."""
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
    """A step for one node, run on a manager."""

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
    """Make the machine's engine trust a registry's certificate."""

    registry: str
    certificate: str = field(repr=False)

    TODO = "trust the registry {registry}"
    DONE = "trusts the registry {registry}"


@dataclass(frozen=True, kw_only=True)
class DistrustRegistry(MachineStep):
    """Remove a registry's certificate that is not needed any more."""

    registry: str

    TODO = "stop trusting the registry {registry}"
    DONE = "no longer trusts the registry {registry}"


class ForgetSwarm(MachineStep):
    """Leave a swarm that no longer lists this machine, or that is lost."""

    TODO = "leave a lost swarm"
    DONE = "left a lost swarm"


@dataclass(frozen=True, kw_only=True)
class InitSwarm(MachineStep):
    """Create a swarm. ``address_pool`` is the address pool of its overlay networks."""

    address_pool: str = ""

    TODO = "initialise the swarm"
    DONE = "swarm initialised"


@dataclass(frozen=True, kw_only=True)
class RecoverSwarm(InitSwarm):
    """Restore the swarm from its manager's disk because the certificates have expired.

    ``is_expired`` is true if that manager's certificate has expired too.
    """

    is_expired: bool

    TODO = "recover the swarm from its disk, since the certificates have expired"
    DONE = "swarm recovered from its disk; the other nodes join it again"


@dataclass(frozen=True, kw_only=True)
class SetCertificateValidity(Step):
    """Make the swarm issue certificates that are valid for longer than the default of 90 days."""

    via: Machine
    seconds: int

    TODO = "set the validity of the swarm's certificates to {days} days"
    DONE = "the swarm's certificates are valid for {days} days from their renewal on"

    @property
    def subject(self) -> str:
        """The name of the manager that sets it."""
        return self.via.name

    @property
    def todo(self) -> str:
        """Description of the step before it runs."""
        return f"{self.subject}: {self.TODO.format(days=self.seconds // 86400)}"

    @property
    def done(self) -> str:
        """Description of the step after it has run."""
        return f"{self.subject}: {self.DONE.format(days=self.seconds // 86400)}"


@dataclass(frozen=True, kw_only=True)
class Join(MachineStep):
    """Join the swarm, drained, through the managers' private addresses."""

    role: Role
    managers: tuple[str, ...]

    TODO = "join the swarm as {role}"
    DONE = "joined the swarm as {role}"


class RemoveNode(NodeStep):
    """Remove a node from the managers' list."""

    TODO = "remove the node from the swarm's list"
    DONE = "removed from the swarm's list"


class Promote(NodeStep):
    """Promote a worker to manager."""

    TODO = "promote to manager"
    DONE = "promoted to manager"


@dataclass(frozen=True, kw_only=True)
class Demote(NodeStep):
    """Demote a manager to worker; ``machine`` is None if it is unreachable."""

    machine: Machine | None

    TODO = "demote to worker"
    DONE = "demoted to worker"


@dataclass(frozen=True, kw_only=True)
class NodeChange:
    """Change of a node. ``node_id`` is empty if the node has not joined yet."""

    name: str
    node_id: str
    add_labels: Mapping[str, str] = field(default_factory=dict[str, str])
    remove_labels: tuple[str, ...] = ()
    activate: bool = False

    @property
    def words(self) -> str:
        """Description of the change."""
        parts = [f"{key}={value}" for key, value in sorted(self.add_labels.items())]
        parts += [f"no {key}" for key in self.remove_labels]
        words = [f"labels {', '.join(parts)}"] if parts else []
        words += ["availability active"] if self.activate else []
        return ", ".join(words)


@dataclass(frozen=True, kw_only=True)
class UpdateNodes(Step):
    """Set labels and availability of several nodes in one command."""

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
    """Drain the node: the swarm stops its tasks and does not assign new ones."""

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
    """Remove the firewall and our files; from a machine that remains, everything of the cluster."""

    release: Release | None = None

    TODO = "remove the firewall and our files"
    DONE = "firewall and our files removed"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Steps that belong together: lanes run in parallel, the steps of a lane in order.

    At most ``at_once`` lanes run at the same time.
    """

    title: str
    lanes: tuple[tuple[Step, ...], ...]
    at_once: int = SIDE_BY_SIDE
