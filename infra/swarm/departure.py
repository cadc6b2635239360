"""Removes nodes: drain, demote within the quorum, leave, clean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.swarm import commands
from infra.swarm.drain import draining
from infra.swarm.joining import ForgetSwarm, RemoveNode
from infra.swarm.release import clean
from infra.swarm.roles import demotions
from infra.swarm.step import MachineStep, Stage, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.remote.machine import Machine
    from infra.swarm.cluster import Cluster
    from infra.swarm.execute import Execution
    from infra.swarm.facts import MachineFacts
    from infra.swarm.membership import Membership
    from infra.swarm.release import Release


class Leave(MachineStep):
    """Leave the swarm, from the machine's side."""

    TODO = "leave the swarm"
    DONE = "left the swarm"

    def take(self, execution: Execution) -> None:
        """Leave, so that the managers list the node as down."""
        execution.swarm(self.machine, commands.LEAVE_SWARM)


@dataclass(frozen=True, kw_only=True)
class CleanMachine(MachineStep):
    """Remove the firewall and our files; from a machine that remains, everything of the cluster."""

    release: Release | None = None

    TODO = "remove the firewall and our files"
    DONE = "firewall and our files removed"

    def take(self, execution: Execution) -> None:
        """Run the script of the release."""
        clean(execution.on(self.machine), self.release, execution.report)


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
        drains.append(draining(cluster, via, name, node))
        remove = RemoveNode(via=via, name=name, node_id=node.node_id)
        if machine is None:
            goings.append((remove,))
        else:
            goings.append((Leave(machine=machine), remove, _cleaning(cluster, machine)))
    return (
        Stage(title="drain", lanes=tuple(drains)),
        Stage(title="demote", lanes=(demotions(cluster, membership, via, reachable),)),
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


def _remaining_manager(cluster: Cluster, membership: Membership) -> Machine:
    """Return a manager that stays a manager: a demoted one cannot run swarm commands."""
    for machine in cluster.managers:
        if machine == membership.manager:
            return machine
    return cluster.managers[0]
