"""How each machine stands to the swarm: not in one, a member of ours, left behind, a stranger's.

"Swarm: active" does not mean this swarm: cluster and node IDs are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.swarm.cluster import MACHINE_LABEL
from infra.swarm.errors import SwarmError, SwarmSilentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.remote.machine import Machine
    from infra.swarm.cluster import Cluster
    from infra.swarm.facts import MachineFacts, SwarmNode


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How the machines stand.

    ``manager`` is the machine that commands to the swarm go through, None when there is no swarm
    yet. ``members`` maps a machine's name to its node. ``lost`` are machines whose engine is in a
    swarm, or under a node ID, that is no more. ``departing`` are nodes of ours that are wanted no
    more, ``ghosts`` the entries that a wanted machine left in an earlier life.
    """

    cluster_id: str
    manager: Machine | None
    nodes: tuple[SwarmNode, ...]
    members: Mapping[str, SwarmNode]
    lost: frozenset[str]
    departing: Mapping[str, SwarmNode]
    ghosts: tuple[SwarmNode, ...]


def assess(
    cluster: Cluster,
    facts: Mapping[str, MachineFacts],
    *,
    leaving: tuple[Machine, ...] = (),
    cluster_id: str | None = None,
) -> Standing:
    """Tell how the machines that answered stand to the swarm.

    Raises:
        SwarmError: a machine is in a swarm that is not this one.
        SwarmSilentError: the swarm has no quorum.

    """
    known = (*cluster.machines, *(m for m in leaving if m.name not in _names(cluster)))
    managers = [m for m in known if m.name in facts and facts[m.name].is_manager]
    ours = _our_cluster_id(managers, facts, cluster_id)
    voices = [m for m in managers if facts[m.name].cluster_id == ours]
    speaker = _speaker(voices, facts)
    nodes = facts[speaker.name].nodes if speaker else ()
    by_id = {node.node_id: node for node in nodes}
    members: dict[str, SwarmNode] = {}
    lost: set[str] = set()
    addresses = {machine.private_address for machine in known}
    for machine in known:
        if machine.name not in facts or facts[machine.name].swarm_state == "inactive":
            continue
        node = by_id.get(facts[machine.name].node_id)
        if node is not None:
            members[machine.name] = node
        elif is_waiting(facts[machine.name]):
            raise _waiting(machine, facts[machine.name])
        elif _is_left_behind(facts[machine.name], ours, addresses):
            lost.add(machine.name)
        else:
            raise _stranger(machine, facts[machine.name])
    return Standing(
        cluster_id=ours,
        manager=speaker,
        nodes=nodes,
        members=members,
        lost=frozenset(lost),
        departing=_departing(cluster, leaving, nodes, members),
        ghosts=_ghosts(cluster, nodes, members),
    )


def name_of(node: SwarmNode) -> str:
    """Return the name of the machine that a node is: our label's, else the engine's host name."""
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


def _speaker(voices: list[Machine], facts: Mapping[str, MachineFacts]) -> Machine | None:
    if not voices:
        return None
    for machine in voices:
        if not facts[machine.name].nodes_error:
            return machine
    first = voices[0]
    message = (
        f"{first}: asked for the swarm's nodes: {facts[first.name].nodes_error}\n"
        "Next: start the managers that are down, so that more than half of them run. If they are"
        f" lost for good, run `docker swarm init --force-new-cluster --advertise-addr"
        f" {first.private_address}` on {first.name}, which keeps its services; then run the same"
        " again"
    )
    raise SwarmSilentError(message)


def _is_left_behind(facts: MachineFacts, ours: str, addresses: set[str]) -> bool:
    """Tell whether a node that our swarm does not list was once one of ours.

    A manager knows the ID of its swarm; a worker knows where its managers are.
    """
    if facts.is_manager:
        return facts.cluster_id == ours
    return not facts.remote_managers or bool(addresses.intersection(facts.remote_managers))


def is_waiting(facts: MachineFacts) -> bool:
    """Tell whether a machine is one of its swarm's managers, but cannot act as one now.

    It has the swarm's state on its disk, so it must never be made to forget it.
    """
    return not facts.is_manager and facts.node_address in facts.remote_managers


def _departing(
    cluster: Cluster,
    leaving: tuple[Machine, ...],
    nodes: tuple[SwarmNode, ...],
    members: Mapping[str, SwarmNode],
) -> dict[str, SwarmNode]:
    """Return the nodes that are to go: those of leaving machines, and those that bear our mark."""
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


def _ghosts(
    cluster: Cluster, nodes: tuple[SwarmNode, ...], members: Mapping[str, SwarmNode]
) -> tuple[SwarmNode, ...]:
    """Return entries of wanted machines under an ID that is no longer theirs (moby#24106)."""
    current = {node.node_id for node in members.values()}
    wanted = _names(cluster)
    return tuple(n for n in nodes if name_of(n) in wanted and n.node_id not in current)


def _other_swarm(machine: Machine, found: str, ours: str) -> SwarmError:
    return SwarmError(
        f"{machine}: asked which swarm it is in: it is a manager of swarm {found}, and this"
        f" cluster's is {ours}\nNext: if nothing there is needed, run `docker swarm leave --force`"
        " on it, then run the same again; else take it out of the settings"
    )


def _stranger(machine: Machine, facts: MachineFacts) -> SwarmError:
    where = ", ".join(facts.remote_managers) or "unknown managers"
    whose = f"swarm {facts.cluster_id}" if facts.cluster_id else f"the swarm of {where}"
    return SwarmError(
        f"{machine}: asked which swarm it is in: it is in {whose}, which is not this cluster's"
        " (its state there is"
        f" {facts.swarm_state})\nNext: if nothing there is needed, run `docker swarm leave"
        " --force` on it, then run the same again; else take it out of the settings"
    )


def _waiting(machine: Machine, facts: MachineFacts) -> SwarmError:
    return SwarmError(
        f"{machine}: asked which swarm it is in: it is a manager of one, but cannot act as one now"
        f" (state {facts.swarm_state}{f': {facts.swarm_error}' if facts.swarm_error else ''})\n"
        f"Next: start the swarm's other managers ({', '.join(facts.remote_managers)}) and run the"
        " same again; if that swarm is lost and nothing of it is needed, run `docker swarm leave"
        " --force` on it first"
    )
