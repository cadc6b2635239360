"""The cluster that is wanted, and the one that is there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.firewall import Policy
    from infra.remote.machine import Machine
    from infra.swarm.release import Release

PRIMARY_LABEL = "dairflow.primary"
"""Marks the one manager whose disk holds the database, the broker's data and the registry."""

MACHINE_LABEL = "dairflow.machine"
"""Carries the machine's name, since an engine's host name need not be it."""

DEFAULT_DRAIN_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What is wanted. ``machines`` starts with the first manager; names are unique.

    ``trusted_registries`` maps ``host:port`` to the PEM of the authority that signs that
    registry's certificate. ``drain_timeout`` (seconds) is the longest that a task of a leaving
    node may take to end, as its ``stop_grace_period`` says. ``release`` is what is to go from
    machines that stay when they leave; None where they go themselves. ``former_managers`` are the
    names of nodes that the last run left as managers.
    """

    name: str
    machines: tuple[Machine, ...]
    firewall: Policy
    trusted_registries: Mapping[str, str] = field(default_factory=dict[str, str])
    drain_timeout: float = DEFAULT_DRAIN_TIMEOUT_SECONDS
    release: Release | None = None
    former_managers: frozenset[str] = frozenset()

    def believes(self, machine: Machine) -> bool:
        """Tell whether the machine may say that it is a manager, and of which swarm.

        Any other that does so is a worker that would have the rest join a swarm of its own.
        """
        return machine.role == "manager" or machine.name in self.former_managers

    @property
    def managers(self) -> tuple[Machine, ...]:
        """The machines that are to be managers, the first one first."""
        return tuple(machine for machine in self.machines if machine.role == "manager")

    @property
    def members(self) -> tuple[str, ...]:
        """The private addresses of all nodes."""
        return tuple(machine.private_address for machine in self.machines)


@dataclass(frozen=True, kw_only=True)
class NodeState:
    """One node as a manager sees it.

    ``firewall_digest`` names the ruleset that is live on it: empty when there is none, when it
    was altered by hand, or when the machine was not asked.
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
    """What is there.

    ``pending`` says in words what `reconcile` would still do: empty means as wanted. ``mtu`` is
    the smallest of the nodes' (bytes); ``ipvs`` and ``encrypted_overlay`` tell whether every
    kernel has service VIPs and IPsec's ESP.
    """

    cluster_id: str
    nodes: tuple[NodeState, ...]
    mtu: int
    ipvs: bool
    encrypted_overlay: bool
    worker_join_token: str = field(repr=False)
    manager_join_token: str = field(repr=False)
    pending: tuple[str, ...] = ()

    @property
    def primary(self) -> str:
        """The name of the node that keeps the data."""
        return next(node.name for node in self.nodes if node.labels.get(PRIMARY_LABEL) == "true")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, as a resource's state keeps them."""
        data = asdict(self)
        data["nodes"] = [{**asdict(node), "labels": dict(node.labels)} for node in self.nodes]
        data["pending"] = list(self.pending)
        return data
