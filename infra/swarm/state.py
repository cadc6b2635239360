"""From facts to the state that is kept: what is there, and what is still to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.swarm.cluster import ClusterState, NodeState
from infra.swarm.errors import SwarmGoneError
from infra.swarm.plan import plan
from infra.swarm.standing import assess, name_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.remote.machine import Machine
    from infra.swarm.cluster import Cluster
    from infra.swarm.facts import MachineFacts, SwarmNode

DEFAULT_MTU = 1500


def describe(
    cluster: Cluster,
    facts: Mapping[str, MachineFacts],
    *,
    leaving: tuple[Machine, ...] = (),
    cluster_id: str | None = None,
) -> ClusterState:
    """Describe the swarm as its managers and machines told it.

    ``facts`` may lack machines that did not answer; each is pending then.

    Raises:
        SwarmGoneError: no machine that answered is a manager.
        SwarmError: a machine is in another swarm.

    """
    standing = assess(cluster, facts, leaving=leaving, cluster_id=cluster_id)
    if standing.manager is None:
        message = (
            f"{cluster.name}: none of {', '.join(m.name for m in cluster.managers)} is a manager"
            " of a swarm\nNext: run `pulumi up`, which makes one"
        )
        raise SwarmGoneError(message)
    told = facts[standing.manager.name]
    names = {node.node_id: name for name, node in standing.members.items()}
    silent = [machine for machine in cluster.machines if machine.name not in facts]
    pending = [f"{machine.name}: does not answer" for machine in silent]
    if not silent:
        stages = plan(cluster, facts, leaving=leaving, cluster_id=cluster_id)
        pending += [step.todo for stage in stages for lane in stage.lanes for step in lane]
    asked = [facts[machine.name] for machine in cluster.machines if machine.name in facts]
    return ClusterState(
        cluster_id=standing.cluster_id,
        nodes=tuple(
            _node(node, names.get(node.node_id, name_of(node)), facts)
            for node in sorted(standing.nodes, key=name_of)
        ),
        mtu=min((_mtu(cluster, name, facts) for name in facts), default=DEFAULT_MTU),
        ipvs=all(machine.ipvs for machine in asked),
        encrypted_overlay=all(machine.esp for machine in asked),
        worker_join_token=told.worker_token,
        manager_join_token=told.manager_token,
        pending=tuple(pending),
    )


def unsettled(cluster: Cluster, state: ClusterState) -> tuple[str, ...]:
    """Say which of the cluster's nodes are not ready yet, as their managers see them."""
    ours = {machine.name for machine in cluster.machines}
    return tuple(
        f"{node.name}: is {node.state}, as the managers see it"
        for node in state.nodes
        if node.name in ours and node.state != "ready"
    )


def _mtu(cluster: Cluster, name: str, facts: Mapping[str, MachineFacts]) -> int:
    address = {machine.name: machine.private_address for machine in cluster.machines}.get(name, "")
    return facts[name].mtus.get(address, DEFAULT_MTU)


def _node(node: SwarmNode, name: str, facts: Mapping[str, MachineFacts]) -> NodeState:
    return NodeState(
        name=name,
        node_id=node.node_id,
        role=node.role,
        address=node.address,
        availability=node.availability,
        state=node.state,
        labels=dict(node.labels),
        engine_version=node.engine_version,
        firewall_digest=facts[name].firewall_digest if name in facts else "",
    )
