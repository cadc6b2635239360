"""Desired and current state of a cluster."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.firewall import Policy
    from infra.remote.machine import Machine
    from infra.swarm.release import Release

PRIMARY_LABEL = "dairflow.primary"
"""Marks the one manager whose disk has the database, the broker's data and the registry."""

MACHINE_LABEL = "dairflow.machine"
"""The machine's name, because an engine's host name may differ from it."""

DEFAULT_DRAIN_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Desired cluster. ``machines`` starts with the first manager; names are unique.

    ``trusted_registries`` maps ``host:port`` to the PEM of the authority that signs that registry's
    certificate. ``drain_timeout`` (seconds) is the longest that a task of a leaving node may take
    to end, equal to its ``stop_grace_period``. ``release`` describes what is removed from machines
    that remain after they leave; None if the machines are deleted. ``former_managers`` are the
    names of nodes that were managers after the last run.
    """

    name: str
    machines: tuple[Machine, ...]
    firewall: Policy
    trusted_registries: Mapping[str, str] = field(default_factory=dict[str, str])
    drain_timeout: float = DEFAULT_DRAIN_TIMEOUT_SECONDS
    release: Release | None = None
    former_managers: frozenset[str] = frozenset()

    def trusts_as_manager(self, machine: Machine) -> bool:
        """Return whether to trust the machine's report that it is a manager of some swarm.

        Any other machine is a worker that could make the others join a foreign swarm.
        """
        return machine.role == "manager" or machine.name in self.former_managers

    @property
    def managers(self) -> tuple[Machine, ...]:
        """The machines with the role manager, starting with the first manager."""
        return tuple(machine for machine in self.machines if machine.role == "manager")

    @property
    def members(self) -> tuple[str, ...]:
        """The private addresses of all nodes."""
        return tuple(machine.private_address for machine in self.machines)


@dataclass(frozen=True, kw_only=True)
class NodeState:
    """A node as a manager lists it.

    ``firewall_digest`` is the digest of its active ruleset: empty if there is none, if it was
    changed by hand, or if the machine was not checked.
    """

    name: str
    node_id: str
    role: str
    address: str
    availability: str
    state: str
    labels: Mapping[str, str]
    engine_version: str
    firewall_digest: str = ""


@dataclass(frozen=True, kw_only=True)
class ClusterState:
    """Current state of the cluster.

    ``pending`` describes what `reconcile` would still do: empty if the cluster is in the desired
    state.
    """

    cluster_id: str
    nodes: tuple[NodeState, ...]
    pending: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types for a resource's state."""
        data = asdict(self)
        data["nodes"] = [{**asdict(node), "labels": dict(node.labels)} for node in self.nodes]
        data["pending"] = list(self.pending)
        return data
