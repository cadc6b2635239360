"""The steps before a plan when the managers cannot act by themselves any more; no I/O.

A node whose certificate has expired is refused by its swarm, and its engine does not start its part
in it. When that holds for the managers, nobody is left to renew one: the first manager takes the
swarm up from its disk, under its ID, with services, secrets and networks, and the others join it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.swarm.admission import address_pool, wrong_clocks
from infra.swarm.errors import SwarmError
from infra.swarm.standing import can_speak
from infra.swarm.steps import RecoverSwarm, Stage, StartEngine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.remote.machine import Machine
    from infra.swarm.cluster import Cluster
    from infra.swarm.facts import MachineFacts


def recovery(
    cluster: Cluster,
    facts: Mapping[str, MachineFacts],
    *,
    leaving: tuple[Machine, ...] = (),
    cluster_id: str | None = None,
) -> tuple[Stage, ...]:
    """Return what lets the managers act again; nothing if one does, or if that is not the cause.

    Once it is taken, the machines are to be asked again.

    Raises:
        SwarmError: certificates have expired by clocks that are wrong.

    """
    known = [m for m in (*cluster.machines, *leaving) if m.name in facts and cluster.believes(m)]
    if any(can_speak(cluster, m, facts[m.name]) and facts[m.name].nodes for m in known):
        return ()
    stopped = [m for m in known if facts[m.name].engine == "stopped" and facts[m.name].certificate]
    if stopped:
        return (Stage(title="start", lanes=tuple((StartEngine(machine=m),) for m in stopped)),)
    first = cluster.managers[0] if cluster.managers else None
    if first is None or not _has_to_recover(cluster, facts, leaving, cluster_id):
        return ()
    if wrong := list(wrong_clocks(cluster, facts)):
        raise SwarmError("\n".join(wrong))
    step = RecoverSwarm(
        machine=first,
        address_pool=address_pool(cluster.members),
        is_expired=facts[first.name].is_expired,
    )
    return (Stage(title="recover", lanes=((step,),)),)


def _has_to_recover(
    cluster: Cluster,
    facts: Mapping[str, MachineFacts],
    leaving: tuple[Machine, ...],
    cluster_id: str | None,
) -> bool:
    """Tell whether the managers that have not expired are too few for a quorum.

    A leaving manager that does not answer may be alive.
    """
    told = facts[cluster.managers[0].name]
    if told.certificate is None or not told.holds_swarm:
        return told.has_copy
    if cluster_id not in (None, told.certificate.cluster_id):
        return False
    managers = (*cluster.managers, *(m for m in leaving if m.role == "manager"))
    expired = [m for m in managers if m.name in facts and facts[m.name].is_expired]
    return told.has_copy or len(expired) * 2 >= len(managers)
