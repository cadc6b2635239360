"""Computes the swarm's state from facts: its nodes, and the pending steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.swarm.cluster import ClusterState, NodeState
from infra.swarm.errors import SwarmNotFoundError
from infra.swarm.membership import assess, name_of
from infra.swarm.plan import plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.remote.machine import Machine
    from infra.swarm.cluster import Cluster
    from infra.swarm.facts import MachineFacts, SwarmNode


def describe(
    cluster: Cluster,
    facts: Mapping[str, MachineFacts],
    *,
    leaving: tuple[Machine, ...] = (),
    cluster_id: str | None = None,
) -> ClusterState:
    """Describe the swarm from the facts of its managers and machines.

    ``facts`` may lack unreachable machines; each of them is pending.

    Raises:
        SwarmNotFoundError: if no reachable machine is a manager.
        SwarmError: if a machine is in another swarm.

    """
    membership = assess(cluster, facts, leaving=leaving, cluster_id=cluster_id)
    if membership.manager is None:
        message = (
            f"{cluster.name}: none of {', '.join(m.name for m in cluster.managers)} is a manager of"
            " a swarm\n"
            "Next: run `pulumi up`, which creates one"
        )
        raise SwarmNotFoundError(message)
    names = {node.node_id: name for name, node in membership.members.items()}
    unreachable = [machine for machine in cluster.machines if machine.name not in facts]
    pending = [f"{machine.name}: does not answer" for machine in unreachable]
    if not unreachable:
        stages = plan(cluster, facts, leaving=leaving, cluster_id=cluster_id)
        pending += [step.todo for stage in stages for lane in stage.lanes for step in lane]
    return ClusterState(
        cluster_id=membership.cluster_id,
        nodes=tuple(
            _node(node, names.get(node.node_id, name_of(node)), facts)
            for node in sorted(membership.nodes, key=name_of)
        ),
        pending=tuple(pending),
    )


def unsettled(cluster: Cluster, state: ClusterState) -> tuple[str, ...]:
    """List the cluster's nodes that are not ready yet, as the managers see them."""
    ours = {machine.name for machine in cluster.machines}
    return tuple(
        f"{node.name}: is {node.state}, as the managers see it"
        for node in state.nodes
        if node.name in ours and node.state != "ready"
    )


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
