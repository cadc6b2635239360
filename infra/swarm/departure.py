"""Plans the removal of nodes: drain, demote within the quorum, leave; no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.swarm.errors import SwarmError
from infra.swarm.steps import (
    AwaitTasks,
    CleanMachine,
    Demote,
    Drain,
    ForgetSwarm,
    Leave,
    RemoveNode,
    Stage,
    Step,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.remote.machine import Machine
    from infra.swarm.cluster import Cluster
    from infra.swarm.facts import MachineFacts, SwarmNode
    from infra.swarm.membership import Membership


KILL_SECONDS = 30.0
"""Additional time for the engine to kill a task after its grace period, and for the managers to
detect it."""


def departure_stages(
    cluster: Cluster, membership: Membership, answering: tuple[Machine, ...]
) -> tuple[Stage, ...]:
    """Return the stages that remove departing nodes and demote managers that become workers.

    ``answering`` are the reachable leaving machines; the others are only removed from the managers'
    list, after they are down or their tasks have ended.

    Raises:
        SwarmError: if the managers would lose their quorum during the change.

    """
    if membership.manager is None:
        return ()
    via = _remaining_manager(cluster, membership)
    reachable = {machine.name: machine for machine in (*cluster.machines, *answering)}
    drains, goings = list[tuple[Step, ...]](), list[tuple[Step, ...]]()
    for name, node in membership.departing.items():
        machine = reachable.get(name)
        drains.append(_draining(cluster, via, name, node))
        remove = RemoveNode(via=via, name=name, node_id=node.node_id)
        if machine is None:
            goings.append((remove,))
        else:
            goings.append((Leave(machine=machine), remove, _cleaning(cluster, machine)))
    return (
        Stage(title="drain", lanes=tuple(drains)),
        Stage(title="demote", lanes=(_demotions(cluster, membership, via, reachable),)),
        Stage(title="leave", lanes=tuple(goings)),
    )


def cleanups(
    cluster: Cluster,
    facts: Mapping[str, MachineFacts],
    membership: Membership,
    leaving: tuple[Machine, ...],
) -> tuple[tuple[Step, ...], ...]:
    """Return the lanes for leaving machines that the swarm no longer lists.

    An interrupted run may have removed them from the list before they were cleaned.
    """
    lanes: list[tuple[Step, ...]] = []
    for machine in leaving:
        if machine.name in membership.departing or machine.name not in facts:
            continue
        steps: list[Step] = []
        if machine.name in membership.lost:
            steps.append(ForgetSwarm(machine=machine))
        if cluster.release or facts[machine.name].firewall_digest or facts[machine.name].trusted:
            steps.append(_cleaning(cluster, machine))
        lanes.append(tuple(steps))
    return tuple(lanes)


def _cleaning(cluster: Cluster, machine: Machine) -> Step:
    return CleanMachine(machine=machine, release=cluster.release)


def _draining(cluster: Cluster, via: Machine, name: str, node: SwarmNode) -> tuple[Step, ...]:
    """Drain and wait, unless the node is down: a task of its last state would never end."""
    if node.state == "down":
        return ()
    wait = AwaitTasks(
        via=via, name=name, node_id=node.node_id, timeout=cluster.drain_timeout + KILL_SECONDS
    )
    if node.availability == "drain":
        return (wait,)
    return (Drain(via=via, name=name, node_id=node.node_id), wait)


def _remaining_manager(cluster: Cluster, membership: Membership) -> Machine:
    """Return a manager that stays a manager: a demoted one cannot run swarm commands."""
    for machine in cluster.managers:
        if machine == membership.manager:
            return machine
    return cluster.managers[0]


def _demotions(
    cluster: Cluster, membership: Membership, via: Machine, reachable: dict[str, Machine]
) -> tuple[Step, ...]:
    """Demote managers one at a time, those that are down first and the leader last.

    Without demotion a manager that left still counts in the quorum (moby#30847); demoting the
    leader while another manager is not ready can lose the quorum (moby#34384).
    """
    wanted = {machine.name for machine in cluster.managers}
    current = {**membership.members, **membership.departing}
    going = sorted(
        ((name, node) for name, node in current.items() if node.is_voter and name not in wanted),
        key=lambda item: (item[1].reachability == "reachable", item[1].leader, item[0]),
    )
    gone = {node.node_id for node in membership.stale_nodes}
    raft = [node for node in membership.nodes if node.is_voter and node.node_id not in gone]
    joining = len(wanted - {name for name, node in current.items() if node.is_voter})
    voters, live = len(raft) + joining, joining + sum(n.reachability == "reachable" for n in raft)
    steps: list[Step] = []
    for name, node in going:
        voters, live = voters - 1, live - (node.reachability == "reachable")
        if live * 2 <= voters:
            raise _no_quorum(name, live, voters)
        steps.append(Demote(via=via, name=name, node_id=node.node_id, machine=reachable.get(name)))
    return tuple(steps)


def _no_quorum(name: str, live: int, voters: int) -> SwarmError:
    return SwarmError(
        f"{name}: it cannot be demoted: only {live} of the {voters} remaining managers are"
        " reachable, and a swarm needs more than half\n"
        "Next: start the managers that are down, then rerun the command"
    )
