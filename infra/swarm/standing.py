"""How each machine stands to the swarm: not in one, a member of ours, left behind, a stranger's.

"Swarm: active" does not mean this swarm: cluster and node IDs are compared. What is believed of the
swarm is said by machines that the settings or the last run call managers, and by no others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.clock import in_words
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
        SwarmError: a machine is in a swarm that is not this one, or its disk has the data of a
            swarm that nobody else can be asked about.
        SwarmSilentError: the swarm has no quorum.

    """
    known = (*cluster.machines, *(m for m in leaving if m.name not in _names(cluster)))
    managers = [m for m in known if m.name in facts and can_speak(cluster, m, facts[m.name])]
    ours = _our_cluster_id(managers, facts, cluster_id)
    voices = [m for m in managers if facts[m.name].cluster_id == ours]
    speaker = _speaker(voices, facts)
    nodes = facts[speaker.name].nodes if speaker else ()
    by_id = {node.node_id: node for node in nodes}
    members: dict[str, SwarmNode] = {}
    lost: set[str] = set()
    addresses = {machine.private_address for machine in known}
    claimed: dict[str, Machine] = {}
    for machine in known:
        if machine.name not in facts or is_outside(facts[machine.name]):
            continue
        told = facts[machine.name]
        node = by_id.get(told.node_id or (told.certificate.node_id if told.certificate else ""))
        if node is not None and not _is_cut_off(told):
            _claim(claimed, machine, node, cluster)
            members[machine.name] = node
        elif (
            told.certificate
            and told.certificate.cluster_id == ours
            and (node is None or told.is_expired or machine not in cluster.machines)
        ):
            lost.add(machine.name)  # the managers that can act have the swarm's data too
        elif is_waiting(told):
            raise _waiting(machine, told)
        elif _is_left_behind(told, ours, cluster_id, addresses):
            lost.add(machine.name)
        else:
            raise _stranger(machine, told)
    return Standing(
        cluster_id=ours,
        manager=speaker,
        nodes=nodes,
        members=members,
        lost=frozenset(lost),
        departing=_departing(cluster, leaving, nodes, members),
        ghosts=_ghosts(cluster, nodes, members),
    )


def can_speak(cluster: Cluster, machine: Machine, facts: MachineFacts) -> bool:
    """Tell whether a machine is a manager whose word on the swarm counts, and who can act."""
    return facts.is_manager and not facts.is_expired and cluster.believes(machine)


def is_outside(facts: MachineFacts) -> bool:
    """Tell whether a machine is in no swarm, and has no data of one either.

    An engine that does not run keeps its swarm on its disk.
    """
    return (
        facts.swarm_state == "inactive"
        and not facts.holds_swarm
        and not (facts.engine == "stopped" and facts.certificate)
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


def _is_left_behind(
    facts: MachineFacts, ours: str, expected: str | None, addresses: set[str]
) -> bool:
    """Tell whether a node that our swarm does not list was once one of ours.

    A manager knows the ID of its swarm; a worker knows where its managers are. One that cannot
    take part knows neither, but has its certificate. ``ours`` is empty unless a manager acts;
    ``expected`` is what the last run left.
    """
    if facts.is_manager:
        return facts.cluster_id == ours
    if facts.remote_managers:
        return bool(addresses.intersection(facts.remote_managers))
    if facts.certificate and (ours or expected or facts.engine == "stopped"):
        return facts.certificate.cluster_id in (ours, expected)
    return True


def _is_cut_off(facts: MachineFacts) -> bool:
    """Tell whether a node of ours takes no part, and will not by itself: it has to join again."""
    return facts.swarm_state == "error" or facts.is_expired


def _claim(
    claimed: dict[str, Machine], machine: Machine, node: SwarmNode, cluster: Cluster
) -> None:
    """Keep who says which node it is.

    Raises:
        SwarmError: two wanted machines say that they are the same.

    """
    other = claimed.setdefault(node.node_id, machine)
    wanted = cluster.machines
    if other != machine and machine in wanted and other in wanted:
        message = (
            f"{machine}: asked which node it is: {node.node_id}, as {other} says too; the managers"
            f" call that one {name_of(node)}\nNext: run `docker info` on both; they may be the same"
            " host, or one of them is not what it says: take that one out of the settings"
        )
        raise SwarmError(message)


def is_waiting(facts: MachineFacts) -> bool:
    """Tell whether a machine is one of its swarm's managers, but cannot act as one now.

    It has the swarm's data on its disk, so it must never be made to forget it.
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
    if facts.is_manager:
        whose = f"a manager of swarm {facts.cluster_id}"
    else:
        whose = f"in the swarm of {where}"
    return SwarmError(
        f"{machine}: asked which swarm it is in: it is {whose}, which is not this cluster's"
        " (its state there is"
        f" {facts.swarm_state})\nNext: if nothing there is needed, run `docker swarm leave"
        " --force` on it, then run the same again; else take it out of the settings"
    )


def _waiting(machine: Machine, facts: MachineFacts) -> SwarmError:
    return SwarmError(
        f"{machine}: asked which swarm it is in: {why_waiting(facts)}\nNext: {_way_back(facts)}"
    )


def why_waiting(facts: MachineFacts) -> str:
    """Say what a machine is that `is_waiting`, in the engine's own words if it has any."""
    said = f": {facts.swarm_error.strip(' :')}" if facts.swarm_error else ""
    state = f"state {facts.swarm_state}" if facts.engine == "running" else "its engine is stopped"
    return f"it is a manager of one, but cannot act as one now ({state}{said})"


def _way_back(facts: MachineFacts) -> str:
    lost = (
        "; if that swarm is lost and nothing of it is needed, run `docker swarm leave --force` on"
        " it first"
    )
    certificate, clock = facts.certificate, facts.clock
    if certificate and clock and clock.ended < certificate.not_before:
        return (
            f"its certificate is valid from {in_words(certificate.not_before)} on, and its clock"
            f" says {in_words(clock.ended)}: set the clock, restart its Docker engine, and run the"
            " same again"
        )
    if facts.is_expired:
        return (
            "its certificate has expired: `pulumi up --refresh` recovers the swarm from the first"
            f" manager's disk once more than half of the managers cannot act{lost}"
        )
    if facts.swarm_state == "inactive":
        return (
            "run `docker swarm init --force-new-cluster --advertise-addr"
            f" {facts.node_address or 'ADDRESS'}` on it, which takes up the swarm that its disk"
            f" has, then run the same again{lost}"
        )
    if facts.swarm_state == "locked":
        return "run `docker swarm unlock` on it, then the same again"
    if facts.swarm_state == "error":
        return (
            "correct what its engine says, restart that engine (`systemctl restart docker`), and"
            f" run the same again: its data are not touched{lost}"
        )
    others = ", ".join(facts.remote_managers)
    return f"start the swarm's other managers ({others}) and run the same again{lost}"
