"""Recovers a swarm whose managers cannot act any more.

A swarm rejects a node whose certificate has expired, and the node's engine does not start its part
in it. If the managers have expired, none can renew a certificate: the first manager restores the
swarm from its disk, with its ID, services, secrets and networks, and the others join it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra import ports
from infra.remote.script import script
from infra.swarm.admission import address_pool, wrong_clocks
from infra.swarm.errors import SwarmError
from infra.swarm.facts import KEPT_FOLDER
from infra.swarm.joining import InitSwarm
from infra.swarm.membership import is_acting_manager
from infra.swarm.preparation import StartEngine
from infra.swarm.step import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.remote.machine import Machine
    from infra.swarm.cluster import Cluster
    from infra.swarm.execute import Execution
    from infra.swarm.facts import MachineFacts


@dataclass(frozen=True, kw_only=True)
class RecoverSwarm(InitSwarm):
    """Restore the swarm from its manager's disk because the certificates have expired.

    ``is_expired`` is true if that manager's certificate has expired too.
    """

    is_expired: bool

    TODO = "recover the swarm from its disk, since the certificates have expired"
    DONE = "swarm recovered from its disk; the other nodes join it again"

    @property
    def command(self) -> str:
        """The command; it keeps the swarm's ID, and drops the other managers."""
        return script(
            "swarm/scripts/recover_swarm.sh",
            ADDRESS=self.machine.private_address,
            ADDRESS_POOL=self.address_pool,
            IS_EXPIRED="yes" if self.is_expired else "",
            KEPT_FOLDER=KEPT_FOLDER,
            PORT=ports.SWARM,
        )

    def take(self, execution: Execution) -> None:
        """Restore it."""
        execution.swarm(self.machine, self.command)


def recovery(
    cluster: Cluster,
    facts: Mapping[str, MachineFacts],
    *,
    leaving: tuple[Machine, ...] = (),
    cluster_id: str | None = None,
) -> tuple[Stage, ...]:
    """Return the stages that let managers act again; none if one acts, or for another cause.

    After these stages, the facts must be read again.

    Raises:
        SwarmError: if certificates have expired only because clocks are wrong.

    """
    known = [
        m for m in (*cluster.machines, *leaving) if m.name in facts and cluster.trusts_as_manager(m)
    ]
    if any(is_acting_manager(cluster, m, facts[m.name]) and facts[m.name].nodes for m in known):
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
    """Return whether the managers that have not expired are too few for a quorum.

    An unreachable leaving manager counts as not expired.
    """
    manager = facts[cluster.managers[0].name]
    if manager.certificate is None or not manager.holds_swarm:
        return manager.has_copy
    if cluster_id not in (None, manager.certificate.cluster_id):
        return False
    managers = (*cluster.managers, *(m for m in leaving if m.role == "manager"))
    expired = [m for m in managers if m.name in facts and facts[m.name].is_expired]
    return manager.has_copy or len(expired) * 2 >= len(managers)
