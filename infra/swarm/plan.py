"""Computes the steps from the current to the desired state. Pure: no I/O.

The order matters. The firewall is loaded with all members before a node joins; a node joins drained
and is activated with its labels, so that no placement races a label; a node drains and its tasks
end before it is demoted, leaves and is removed from the list; only then does the firewall block it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from infra.swarm.admission import check
from infra.swarm.departure import cleanups, departure_stages
from infra.swarm.joining import beginnings, joins
from infra.swarm.membership import Membership, assess
from infra.swarm.node_updates import updates
from infra.swarm.preparation import firewall, preparation
from infra.swarm.roles import promotions
from infra.swarm.step import Stage
from infra.swarm.validity import validity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from infra.remote.machine import Machine
    from infra.swarm.cluster import Cluster
    from infra.swarm.facts import MachineFacts

INSTALLING_AT_ONCE = 128
"""Machines that are prepared in parallel: installation is slow, and loads only package mirrors."""


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
                preparation(
                    cluster,
                    machine,
                    facts[machine.name],
                    grown,
                    stays=machine.name not in membership.departing,
                )
                for machine in (*cluster.machines, *answering)
            ),
        ),
        Stage(title="begin", lanes=beginnings(cluster, membership)),
        Stage(title="join", lanes=joins(cluster, membership)),
        Stage(title="promote", lanes=(promotions(cluster, membership),)),
        Stage(title="activate", lanes=(tuple(updates(cluster, membership)),)),
        Stage(title="certificates", lanes=(validity(facts, membership),)),
        *departure_stages(cluster, membership, answering),
        Stage(title="clean", lanes=cleanups(cluster, facts, membership, leaving)),
        Stage(
            title="close",
            lanes=tuple(
                firewall(cluster, machine, facts[machine.name], cluster.members, grown)
                for machine in cluster.machines
            ),
        ),
    )
    filled = (replace(stage, lanes=tuple(filter(None, stage.lanes))) for stage in stages)
    return tuple(stage for stage in filled if stage.lanes)


def _departing_addresses(leaving: Iterable[Machine], membership: Membership) -> tuple[str, ...]:
    known = {machine.name: machine.private_address for machine in leaving}
    return tuple(known.get(name, node.address) for name, node in membership.departing.items())
