"""From what is wanted and what is there to the steps between; no I/O.

The order is the point of it. A firewall is closed and knows every member before anything joins;
a node joins drained and is activated with its labels, so that no placement races a label; a node
drains and its tasks end before it is demoted, leaves and is forgotten; only then is the firewall
closed to it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from infra.firewall import digest, nftables_ruleset
from infra.swarm.admission import address_pool, check
from infra.swarm.certificate import VALIDITY_SECONDS
from infra.swarm.cluster import MACHINE_LABEL, PRIMARY_LABEL
from infra.swarm.departure import departure_stages, stragglers
from infra.swarm.facts import certificate_checksum
from infra.swarm.standing import Standing, assess, name_of
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
"""Machines that are prepared at once: they install for long, and ask nobody but package mirrors."""
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
    """Return the stages that bring the machines to ``cluster``; none when they are there.

    ``facts`` holds every wanted machine, and those of ``leaving`` that answered.

    Raises:
        SwarmError: the machines cannot become this swarm; the text says why and what to do.

    """
    standing = assess(cluster, facts, leaving=leaving, cluster_id=cluster_id)
    check(cluster, facts, standing, leaving)
    answering = tuple(m for m in leaving if m.name in facts and m.name in standing.departing)
    grown = (*cluster.members, *_departing_addresses(leaving, standing))
    stages = (
        Stage(
            title="prepare",
            at_once=INSTALLING_AT_ONCE,
            lanes=tuple(
                _preparation(cluster, machine, facts[machine.name], grown, standing)
                for machine in (*cluster.machines, *answering)
            ),
        ),
        Stage(title="begin", lanes=_beginning(cluster, standing)),
        Stage(title="join", lanes=_joins(cluster, standing)),
        Stage(title="promote", lanes=(_promotions(cluster, standing),)),
        Stage(title="activate", lanes=(tuple(_updates(cluster, standing)),)),
        Stage(title="certificates", lanes=(_validity(facts, standing),)),
        *departure_stages(cluster, standing, answering),
        Stage(title="clean", lanes=stragglers(cluster, facts, standing, leaving)),
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


def _departing_addresses(leaving: Iterable[Machine], standing: Standing) -> tuple[str, ...]:
    known = {machine.name: machine.private_address for machine in leaving}
    return tuple(known.get(name, node.address) for name, node in standing.departing.items())


def _preparation(
    cluster: Cluster,
    machine: Machine,
    facts: MachineFacts,
    members: tuple[str, ...],
    standing: Standing,
) -> tuple[Step, ...]:
    steps: list[Step] = []
    if not facts.has_nft:
        steps.append(InstallNftables(machine=machine))
    steps += _firewall(cluster, machine, facts, members)
    if facts.engine == "missing":
        steps.append(InstallEngine(machine=machine))
    elif facts.engine == "stopped":
        steps.append(StartEngine(machine=machine))
    if machine.name not in standing.departing:
        steps += _trust(cluster, machine, facts)
    return tuple(steps)


def _firewall(
    cluster: Cluster,
    machine: Machine,
    facts: MachineFacts,
    members: tuple[str, ...],
    loaded_before: tuple[str, ...] | None = None,
) -> tuple[Step, ...]:
    """Return the step that loads the firewall, unless it is live or was just loaded."""
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


def _beginning(cluster: Cluster, standing: Standing) -> tuple[tuple[Step, ...], ...]:
    """Forget swarms that are gone; make the swarm, or rid it of entries that are gone."""
    first = cluster.managers[0]
    lanes: list[tuple[Step, ...]] = [
        (ForgetSwarm(machine=machine),)
        for machine in cluster.machines
        if machine.name in standing.lost and (machine != first or standing.manager)
    ]
    if standing.manager is None:
        init = InitSwarm(machine=first, address_pool=address_pool(cluster.members))
        forget = (ForgetSwarm(machine=first),) if first.name in standing.lost else ()
        lanes.append((*forget, init))
    else:
        ghosts: list[Step] = []
        for node in standing.ghosts:
            ghosts += _exorcism(standing.manager, node)
        lanes.append(tuple(ghosts))
    return tuple(lanes)


def _exorcism(via: Machine, node: SwarmNode) -> tuple[Step, ...]:
    name, node_id = name_of(node), node.node_id
    remove = RemoveNode(via=via, name=name, node_id=node_id)
    if not node.is_voter:
        return (remove,)
    return (Demote(via=via, name=name, node_id=node_id, machine=None), remove)


def _joins(cluster: Cluster, standing: Standing) -> tuple[tuple[Step, ...], ...]:
    """Let managers join one after the other, for Raft's quorum, and workers all at once."""
    first = standing.manager or cluster.managers[0]
    joins = [
        Join(machine=machine, role=machine.role, managers=(first.private_address,))
        for machine in cluster.machines
        if machine.name not in standing.members and (standing.manager or machine != first)
    ]
    managers = tuple(join for join in joins if join.role == "manager")
    return (managers, *((join,) for join in joins if join.role == "worker"))


def _promotions(cluster: Cluster, standing: Standing) -> tuple[Step, ...]:
    if standing.manager is None:
        return ()
    return tuple(
        Promote(via=standing.manager, name=m.name, node_id=standing.members[m.name].node_id)
        for m in cluster.managers
        if m.name in standing.members and standing.members[m.name].role != "manager"
    )


def _updates(cluster: Cluster, standing: Standing) -> Iterator[Step]:
    primary = cluster.managers[0].name
    changes = [_change(machine, standing, primary) for machine in cluster.machines]
    needed = [change for change in changes if change is not None]
    via = standing.manager or cluster.managers[0]
    for start in range(0, len(needed), UPDATES_A_COMMAND):
        yield UpdateNodes(via=via, changes=tuple(needed[start : start + UPDATES_A_COMMAND]))


def _validity(facts: Mapping[str, MachineFacts], standing: Standing) -> tuple[Step, ...]:
    if standing.manager is None:
        return ()
    found = facts[standing.manager.name].certificate_seconds
    if found in (0, VALIDITY_SECONDS):
        return ()
    return (SetCertificateValidity(via=standing.manager, seconds=VALIDITY_SECONDS),)


def _change(machine: Machine, standing: Standing, primary: str) -> NodeChange | None:
    wanted = {**machine.labels, MACHINE_LABEL: machine.name}
    if machine.name == primary:
        wanted[PRIMARY_LABEL] = "true"
    node = standing.members.get(machine.name)
    there: Mapping[str, str] = node.labels if node else {}
    added = {key: value for key, value in wanted.items() if there.get(key) != value}
    removed = tuple(sorted(there.keys() - wanted.keys()))
    begins = standing.manager is None and machine.name == primary
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
