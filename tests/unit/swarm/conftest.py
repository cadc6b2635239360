"""Machines, facts and clusters for plans; each test changes what it is about."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from infra.firewall import Policy, digest, nftables_ruleset
from infra.remote.machine import Machine
from infra.swarm.cluster import MACHINE_LABEL, PRIMARY_LABEL, Cluster
from infra.swarm.facts import MachineFacts, SwarmNode

if TYPE_CHECKING:
    from collections.abc import Iterable

CLUSTER_ID = "ours"
POLICY = Policy(operator_cidrs=("203.0.113.0/24",), client_cidrs=("0.0.0.0/0",))


class World:
    """An existing swarm, as its machines report it; edit it, then plan."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.machines: dict[str, Machine] = {}
        self.nodes: dict[str, SwarmNode] = {}
        self.facts: dict[str, MachineFacts] = {}

    def machine(self, name: str, **changes: Any) -> Machine:
        """Add a machine that is in no swarm."""
        role, number = name.split("-")
        address = f"10.9.0.{(10 if role == 'manager' else 100) + int(number)}"
        machine = Machine(
            name=name,
            role="manager" if role == "manager" else "worker",
            address=address,
            host_key="ssh-ed25519 AAAA",
            private_address=address,
            **changes,
        )
        self.machines[name] = machine
        self.facts[name] = MachineFacts(
            hostname=name,
            ssh_client="203.0.113.7",
            mtus={"127.0.0.1": 65536, address: 1500},
            os_family=("debian",),
        )
        return machine

    def joined(self, name: str, **changes: Any) -> Machine:
        """Add a machine that is a member, active and labelled."""
        machine = self.machine(name)
        is_manager = machine.role == "manager"
        labels = {MACHINE_LABEL: name}
        if name == "manager-1":
            labels[PRIMARY_LABEL] = "true"
        node = SwarmNode(
            node_id=f"id-{name}",
            hostname=name,
            role=machine.role,
            availability="active",
            state="ready",
            address=machine.private_address,
            labels=labels,
            engine_version="26.1.5",
            leader=name == "manager-1",
            reachability="reachable" if is_manager else "",
        )
        self.nodes[name] = replace(node, **changes)
        return machine

    def cluster(self, *names: str, **changes: Any) -> Cluster:
        """Return a cluster of these machines."""
        machines = tuple(self.machines[name] for name in names)
        return Cluster(name="test", machines=machines, firewall=POLICY, **changes)

    def observed(
        self,
        cluster: Cluster,
        *,
        members: Iterable[Machine] | None = None,
        silent: Iterable[str] = (),
    ) -> dict[str, MachineFacts]:
        """Return everyone's facts, with the firewall for ``members`` live on those that joined."""
        addresses = [m.private_address for m in (members or cluster.machines)]
        live = digest(nftables_ruleset(POLICY, addresses))
        managers = tuple(
            sorted(node.address for node in self.nodes.values() if node.role == "manager")
        )
        facts = dict(self.facts)
        for name, node in self.nodes.items():
            if facts[name].swarm_state != "inactive":
                continue
            is_manager = node.role == "manager"
            facts[name] = replace(
                facts[name],
                firewall_digest=live,
                swarm_state="active",
                node_id=node.node_id,
                node_address=self.machines[name].private_address,
                remote_managers=managers,
                cluster_id=CLUSTER_ID if is_manager else "",
                nodes=tuple(self.nodes.values()) if is_manager else (),
            )
        return {name: observed for name, observed in facts.items() if name not in set(silent)}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def trio(world: World) -> World:
    """A joined manager with two workers."""
    for name in ("manager-1", "worker-1", "worker-2"):
        world.joined(name)
    return world
