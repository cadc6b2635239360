"""Classifies each machine's swarm membership: none, ours, stale or foreign.

"Swarm: active" does not mean this swarm: cluster and node IDs are compared. Facts about the swarm
come only from machines that are managers in the settings or after the last run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.clock import in_words
from infra.swarm.cluster import MACHINE_LABEL
from infra.swarm.errors import SwarmError, SwarmUnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.remote.machine import Machine
    from infra.swarm.cluster import Cluster
    from infra.swarm.facts import MachineFacts, SwarmNode


@dataclass(frozen=True, kw_only=True)
class Membership:
    """Swarm membership of the machines.

    ``manager`` is the machine that runs swarm commands, None if there is no swarm yet. ``members``
    maps a machine's name to its node. ``lost`` are machines whose engine is in a swarm, or has a
    node ID, that does not exist any more. ``departing`` are our nodes that are not in the settings,
    ``stale_nodes`` the former entries of current machines.
    """

    cluster_id: str
    manager: Machine | None
    nodes: tuple[SwarmNode, ...]
    members: Mapping[str, SwarmNode]
    lost: frozenset[str]
    departing: Mapping[str, SwarmNode]
    stale_nodes: tuple[SwarmNode, ...]


def assess(
    cluster: Cluster,
    facts: Mapping[str, MachineFacts],
    *,
    leaving: tuple[Machine, ...] = (),
    cluster_id: str | None = None,
) -> Membership:
    """Return the swarm membership of the reachable machines.

    Raises:
        SwarmError: if a machine is in another swarm, or its disk has the data of a swarm that no
            other machine can report.
        SwarmUnreachableError: if the swarm has no quorum.

    """
    known = (*cluster.machines, *(m for m in leaving if m.name not in _names(cluster)))
    managers = [
        m for m in known if m.name in facts and is_acting_manager(cluster, m, facts[m.name])
    ]
    ours = _our_cluster_id(managers, facts, cluster_id)
    reachable = [m for m in managers if facts[m.name].cluster_id == ours]
    manager = _reachable_manager(reachable, facts)
    nodes = facts[manager.name].nodes if manager else ()
    by_id = {node.node_id: node for node in nodes}
    members: dict[str, SwarmNode] = {}
    lost: set[str] = set()
    addresses = {machine.private_address for machine in known}
    claimed: dict[str, Machine] = {}
    for machine in known:
        if machine.name not in facts or is_outside(facts[machine.name]):
            continue
        found = facts[machine.name]
        node = by_id.get(found.node_id or (found.certificate.node_id if found.certificate else ""))
        if node is not None and not _is_cut_off(found):
            _claim(claimed, machine, node, cluster)
            members[machine.name] = node
        elif (
            found.certificate
            and found.certificate.cluster_id == ours
            and (node is None or found.is_expired or machine not in cluster.machines)
        ):
            lost.add(machine.name)  # the acting managers have the swarm's data too
        elif is_waiting(found):
            raise _waiting(machine, found)
        elif _is_left_behind(found, ours, cluster_id, addresses):
            lost.add(machine.name)
        else:
            raise _stranger(machine, found)
    return Membership(
        cluster_id=ours,
        manager=manager,
        nodes=nodes,
        members=members,
        lost=frozenset(lost),
        departing=_departing(cluster, leaving, nodes, members),
        stale_nodes=_stale_nodes(cluster, nodes, members),
    )


def is_acting_manager(cluster: Cluster, machine: Machine, facts: MachineFacts) -> bool:
    """Return whether a machine is a trusted manager of the swarm that can act."""
    return facts.is_manager and not facts.is_expired and cluster.trusts_as_manager(machine)


def is_outside(facts: MachineFacts) -> bool:
    """Return whether a machine is not in a swarm, and does not have a swarm's data either.

    A stopped engine keeps its swarm on its disk.
    """
    return (
        facts.swarm_state == "inactive"
        and not facts.holds_swarm
        and not (facts.engine == "stopped" and facts.certificate)
    )


def name_of(node: SwarmNode) -> str:
    """Return the machine's name of a node: from our label, or otherwise the engine's host name."""
    return node.labels.get(MACHINE_LABEL, node.hostname)


def _names(cluster: Cluster) -> set[str]:
    return {machine.name for machine in cluster.machines}


def _our_cluster_id(
    managers: list[Machine], facts: Mapping[str, MachineFacts], expected: str | None
) -> str:
    found = {facts[machine.name].cluster_id: machine for machine in managers}
    if not found:
        return ""
    if expected and expected not in found:
        machine = next(iter(found.values()))
        raise _other_swarm(machine, facts[machine.name].cluster_id, expected)
    if len(found) > 1:
        ours = expected or next(iter(found))
        other = next(identity for identity in found if identity != ours)
        raise _other_swarm(found[other], other, ours)
    return next(iter(found))


def _reachable_manager(
    reachable: list[Machine], facts: Mapping[str, MachineFacts]
) -> Machine | None:
    if not reachable:
        return None
    for machine in reachable:
        if not facts[machine.name].nodes_error:
            return machine
    first = reachable[0]
    message = (
        f"{first}: reading the swarm's nodes failed: {facts[first.name].nodes_error}\n"
        "Next: start the managers that are down, so that more than half of them run. If they are"
        " lost, run `docker swarm init --force-new-cluster --advertise-addr"
        f" {first.private_address}` on {first.name}, which keeps its services; then rerun the"
        " command"
    )
    raise SwarmUnreachableError(message)


def _is_left_behind(
    facts: MachineFacts, ours: str, expected: str | None, addresses: set[str]
) -> bool:
    """Return whether a node that our swarm does not list is one of our former nodes.

    A manager reports the ID of its swarm; a worker reports its managers' addresses. A node that
    cannot take part reports neither, but has its certificate. ``ours`` is empty unless a manager
    acts; ``expected`` is the swarm of the last run.
    """
    if facts.is_manager:
        return facts.cluster_id == ours
    if facts.remote_managers:
        return bool(addresses.intersection(facts.remote_managers))
    if facts.certificate and (ours or expected or facts.engine == "stopped"):
        return facts.certificate.cluster_id in (ours, expected)
    return True


def _is_cut_off(facts: MachineFacts) -> bool:
    """Return whether a node of ours is cut off and must join again."""
    return facts.swarm_state == "error" or facts.is_expired


def _claim(
    claimed: dict[str, Machine], machine: Machine, node: SwarmNode, cluster: Cluster
) -> None:
    """Save which machine reports which node ID.

    Raises:
        SwarmError: if two machines of the cluster report the same.

    """
    other = claimed.setdefault(node.node_id, machine)
    wanted = cluster.machines
    if other != machine and machine in wanted and other in wanted:
        message = (
            f"{machine}: it reports the node ID {node.node_id}, which {other} reports too; on the"
            f" managers that node is {name_of(node)}\n"
            "Next: run `docker info` on both; they may be the same host, or one of them reports a"
            " wrong ID: remove that one from the settings"
        )
        raise SwarmError(message)


def is_waiting(facts: MachineFacts) -> bool:
    """Return whether a machine is a manager of its swarm that currently cannot act.

    It has the swarm's data on its disk, so it must never be forced to leave the swarm.
    """
    if facts.is_manager:
        return False
    return facts.holds_swarm or facts.node_address in facts.remote_managers


def _departing(
    cluster: Cluster,
    leaving: tuple[Machine, ...],
    nodes: tuple[SwarmNode, ...],
    members: Mapping[str, SwarmNode],
) -> dict[str, SwarmNode]:
    """Return the nodes to remove: those of leaving machines, and those with our label."""
    wanted = _names(cluster)
    leaving_names = {machine.name for machine in leaving} - wanted
    taken = {members[name].node_id for name in wanted if name in members}
    departing: dict[str, SwarmNode] = {}
    for node in nodes:
        name = name_of(node)
        ours = MACHINE_LABEL in node.labels or name in leaving_names
        if ours and name not in wanted and node.node_id not in taken:
            departing[name] = node
    for name in leaving_names & set(members):
        departing[name] = members[name]
    return departing


def _stale_nodes(
    cluster: Cluster, nodes: tuple[SwarmNode, ...], members: Mapping[str, SwarmNode]
) -> tuple[SwarmNode, ...]:
    """Return entries of the cluster's machines under former node IDs (moby#24106)."""
    current = {node.node_id for node in members.values()}
    wanted = _names(cluster)
    return tuple(n for n in nodes if name_of(n) in wanted and n.node_id not in current)


def _other_swarm(machine: Machine, found: str, ours: str) -> SwarmError:
    return SwarmError(
        f"{machine}: it is a manager of swarm {found}, but this cluster's swarm is {ours}\n"
        "Next: if you do not need that swarm, run `docker swarm leave --force` on it, then rerun"
        " the command; otherwise remove it from the settings"
    )


def _stranger(machine: Machine, facts: MachineFacts) -> SwarmError:
    where = ", ".join(facts.remote_managers) or "unknown managers"
    if facts.is_manager:
        whose = f"a manager of swarm {facts.cluster_id}"
    else:
        whose = f"in the swarm of {where}"
    return SwarmError(
        f"{machine}: it is {whose}, which is not this cluster's (its state there is"
        f" {facts.swarm_state})\n"
        "Next: if you do not need that swarm, run `docker swarm leave --force` on it, then rerun"
        " the command; otherwise remove it from the settings"
    )


def _waiting(machine: Machine, facts: MachineFacts) -> SwarmError:
    return SwarmError(f"{machine}: {why_waiting(facts)}\nNext: {_recovery_hint(facts)}")


def why_waiting(facts: MachineFacts) -> str:
    """Describe a machine for which `is_waiting` is true, with the engine's error if any."""
    error = f": {facts.swarm_error.strip(' :')}" if facts.swarm_error else ""
    state = f"state {facts.swarm_state}" if facts.engine == "running" else "its engine is stopped"
    return f"it is a manager of a swarm, but cannot act as one now ({state}{error})"


def _recovery_hint(facts: MachineFacts) -> str:
    lost = (
        "; if that swarm is lost and you do not need it, run `docker swarm leave --force` on it"
        " first"
    )
    certificate, clock = facts.certificate, facts.clock
    if certificate and clock and clock.ended < certificate.not_before:
        return (
            f"its certificate is valid from {in_words(certificate.not_before)} on, but its clock is"
            f" at {in_words(clock.ended)}: set the clock, restart its Docker engine, and rerun the"
            " command"
        )
    if facts.is_expired:
        return (
            "its certificate has expired: `pulumi up --refresh` recovers the swarm from the first"
            f" manager's disk if at least half of the managers cannot act{lost}"
        )
    if facts.swarm_state == "inactive":
        return (
            "run `docker swarm init --force-new-cluster --advertise-addr"
            f" {facts.node_address or 'ADDRESS'}` on it, which restores the swarm from its disk,"
            f" then rerun the command{lost}"
        )
    if facts.swarm_state == "locked":
        return "run `docker swarm unlock` on it, then rerun the command"
    if facts.swarm_state == "error":
        return (
            "fix the error that its engine reports, restart that engine (`systemctl restart"
            f" docker`), and rerun the command: its data are not changed{lost}"
        )
    others = ", ".join(facts.remote_managers)
    return f"start the swarm's other managers ({others}) and rerun the command{lost}"
