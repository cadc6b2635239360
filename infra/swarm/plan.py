"""Computes the steps from the current to the desired state. Pure: no I/O.

The order matters. The firewall is loaded with all members before a node joins; a node joins drained
and is activated with its labels, so that no placement races a label; a node drains and its tasks
end before it is demoted, leaves and is removed from the list; only then does the firewall block it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from infra.firewall import digest, nftables_ruleset
from infra.swarm.admission import address_pool, check
from infra.swarm.certificate import VALIDITY_SECONDS
from infra.swarm.cluster import MACHINE_LABEL, PRIMARY_LABEL
from infra.swarm.departure import cleanups, departure_stages
from infra.swarm.facts import certificate_checksum
from infra.swarm.membership import Membership, assess, name_of
from infra.swarm.steps import (
    Demote,
    DistrustRegistry,
    ForgetSwarm,
    InitSwarm,
    InstallEngine,
    InstallNftables,
    Join,
    LoadFirewall,
    NodeChange,
    Promote,
    RemoveNode,
    SetCertificateValidity,
    Stage,
    StartEngine,
    Step,
    TrustRegistry,
    UpdateNodes,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from infra.remote.machine import Machine
    from infra.swarm.cluster import Cluster
    from infra.swarm.facts import MachineFacts, SwarmNode

INSTALLING_AT_ONCE = 128
"""Machines that are prepared in parallel: installation is slow, and loads only package mirrors."""
UPDATES_A_COMMAND = 50
"""Node updates in one command: a word of a command line is at most 128 KiB (execve(2)), and a lost
race with a node's own updates runs the whole command again."""


def plan(
    cluster: Cluster,
    facts: Mapping[str, MachineFacts],
    *,
    leaving: tuple[Machine, ...] = (),
    cluster_id: str | None = None,
) -> tuple[Stage, ...]:
    """Return the stages that bring the machines to ``cluster``; none if they are in that state.

    ``facts`` has every machine of ``cluster``, and the reachable ones of ``leaving``.

    Raises:
        SwarmError: if the machines cannot become this swarm; the text has the cause and next step.

    """
    membership = assess(cluster, facts, leaving=leaving, cluster_id=cluster_id)
    check(cluster, facts, membership, leaving)
    answering = tuple(m for m in leaving if m.name in facts and m.name in membership.departing)
    grown = (*cluster.members, *_departing_addresses(leaving, membership))
    stages = (
        Stage(
            title="prepare",
            at_once=INSTALLING_AT_ONCE,
            lanes=tuple(
                _preparation(cluster, machine, facts[machine.name], grown, membership)
                for machine in (*cluster.machines, *answering)
            ),
        ),
        Stage(title="begin", lanes=_beginning(cluster, membership)),
        Stage(title="join", lanes=_joins(cluster, membership)),
        Stage(title="promote", lanes=(_promotions(cluster, membership),)),
        Stage(title="activate", lanes=(tuple(_updates(cluster, membership)),)),
        Stage(title="certificates", lanes=(_validity(facts, membership),)),
        *departure_stages(cluster, membership, answering),
        Stage(title="clean", lanes=cleanups(cluster, facts, membership, leaving)),
        Stage(
            title="close",
            lanes=tuple(
                _firewall(cluster, machine, facts[machine.name], cluster.members, grown)
                for machine in cluster.machines
            ),
        ),
    )
    filled = (replace(stage, lanes=tuple(filter(None, stage.lanes))) for stage in stages)
    return tuple(stage for stage in filled if stage.lanes)


def _departing_addresses(leaving: Iterable[Machine], membership: Membership) -> tuple[str, ...]:
    known = {machine.name: machine.private_address for machine in leaving}
    return tuple(known.get(name, node.address) for name, node in membership.departing.items())


def _preparation(
    cluster: Cluster,
    machine: Machine,
    facts: MachineFacts,
    members: tuple[str, ...],
    membership: Membership,
) -> tuple[Step, ...]:
    steps: list[Step] = []
    if not facts.has_nft:
        steps.append(InstallNftables(machine=machine))
    steps += _firewall(cluster, machine, facts, members)
    if facts.engine == "missing":
        steps.append(InstallEngine(machine=machine))
    elif facts.engine == "stopped":
        steps.append(StartEngine(machine=machine))
    if machine.name not in membership.departing:
        steps += _trust(cluster, machine, facts)
    return tuple(steps)


def _firewall(
    cluster: Cluster,
    machine: Machine,
    facts: MachineFacts,
    members: tuple[str, ...],
    loaded_before: tuple[str, ...] | None = None,
) -> tuple[Step, ...]:
    """Return the step that loads the firewall, unless it is active or was just loaded."""
    ruleset = nftables_ruleset(cluster.firewall, members, ssh_port=facts.ssh_port)
    live = facts.firewall_digest
    if loaded_before is not None:
        live = digest(nftables_ruleset(cluster.firewall, loaded_before, ssh_port=facts.ssh_port))
    if live == digest(ruleset):
        return ()
    return (LoadFirewall(machine=machine, ruleset=ruleset, members=len(set(members))),)


def _trust(cluster: Cluster, machine: Machine, facts: MachineFacts) -> list[Step]:
    steps: list[Step] = [
        TrustRegistry(machine=machine, registry=registry, certificate=certificate)
        for registry, certificate in sorted(cluster.trusted_registries.items())
        if facts.trusted.get(registry) != certificate_checksum(certificate)
    ]
    steps += [
        DistrustRegistry(machine=machine, registry=registry)
        for registry in sorted(facts.trusted.keys() - cluster.trusted_registries.keys())
    ]
    return steps


def _beginning(cluster: Cluster, membership: Membership) -> tuple[tuple[Step, ...], ...]:
    """Leave lost swarms; create the swarm, or remove its stale nodes."""
    first = cluster.managers[0]
    lanes: list[tuple[Step, ...]] = [
        (ForgetSwarm(machine=machine),)
        for machine in cluster.machines
        if machine.name in membership.lost and (machine != first or membership.manager)
    ]
    if membership.manager is None:
        init = InitSwarm(machine=first, address_pool=address_pool(cluster.members))
        forget = (ForgetSwarm(machine=first),) if first.name in membership.lost else ()
        lanes.append((*forget, init))
    else:
        stale_nodes: list[Step] = []
        for node in membership.stale_nodes:
            stale_nodes += _remove_stale_node(membership.manager, node)
        lanes.append(tuple(stale_nodes))
    return tuple(lanes)


def _remove_stale_node(via: Machine, node: SwarmNode) -> tuple[Step, ...]:
    name, node_id = name_of(node), node.node_id
    remove = RemoveNode(via=via, name=name, node_id=node_id)
    if not node.is_voter:
        return (remove,)
    return (Demote(via=via, name=name, node_id=node_id, machine=None), remove)


def _joins(cluster: Cluster, membership: Membership) -> tuple[tuple[Step, ...], ...]:
    """Join managers one after the other, for Raft's quorum, and workers in parallel."""
    first = membership.manager or cluster.managers[0]
    joins = [
        Join(machine=machine, role=machine.role, managers=(first.private_address,))
        for machine in cluster.machines
        if machine.name not in membership.members and (membership.manager or machine != first)
    ]
    managers = tuple(join for join in joins if join.role == "manager")
    return (managers, *((join,) for join in joins if join.role == "worker"))


def _promotions(cluster: Cluster, membership: Membership) -> tuple[Step, ...]:
    if membership.manager is None:
        return ()
    return tuple(
        Promote(via=membership.manager, name=m.name, node_id=membership.members[m.name].node_id)
        for m in cluster.managers
        if m.name in membership.members and membership.members[m.name].role != "manager"
    )


def _updates(cluster: Cluster, membership: Membership) -> Iterator[Step]:
    primary = cluster.managers[0].name
    changes = [_change(machine, membership, primary) for machine in cluster.machines]
    needed = [change for change in changes if change is not None]
    via = membership.manager or cluster.managers[0]
    for start in range(0, len(needed), UPDATES_A_COMMAND):
        yield UpdateNodes(via=via, changes=tuple(needed[start : start + UPDATES_A_COMMAND]))


def _validity(facts: Mapping[str, MachineFacts], membership: Membership) -> tuple[Step, ...]:
    if membership.manager is None:
        return ()
    found = facts[membership.manager.name].certificate_seconds
    if found in (0, VALIDITY_SECONDS):
        return ()
    return (SetCertificateValidity(via=membership.manager, seconds=VALIDITY_SECONDS),)


def _change(machine: Machine, membership: Membership, primary: str) -> NodeChange | None:
    wanted = {**machine.labels, MACHINE_LABEL: machine.name}
    if machine.name == primary:
        wanted[PRIMARY_LABEL] = "true"
    node = membership.members.get(machine.name)
    there: Mapping[str, str] = node.labels if node else {}
    added = {key: value for key, value in wanted.items() if there.get(key) != value}
    removed = tuple(sorted(there.keys() - wanted.keys()))
    begins = membership.manager is None and machine.name == primary
    activate = node.availability != "active" if node else not begins
    if not (added or removed or activate):
        return None
    return NodeChange(
        name=machine.name,
        node_id=node.node_id if node else "",
        add_labels=added,
        remove_labels=removed,
        activate=activate,
    )
