"""Look at what is there, changing nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.remote.runner import RemoteError
from infra.swarm.errors import SwarmGoneError
from infra.swarm.gather import gather
from infra.swarm.state import describe

if TYPE_CHECKING:
    from infra.remote.runner import RunnerPool
    from infra.swarm.cluster import Cluster, ClusterState

CONNECT_SECONDS = 20.0


def observe(cluster: Cluster, pool: RunnerPool, *, cluster_id: str | None = None) -> ClusterState:
    """Return what is there; ``pending`` tells what differs from ``cluster``.

    A worker that does not answer within `CONNECT_SECONDS` is described as its managers see it.

    Raises:
        RemoteError: no manager answers; it is the first one's error.
        SwarmGoneError: the managers answer, and none is in a swarm.
        SwarmError: the swarm there is another one.

    """
    silent: list[RemoteError] = []
    facts = gather(cluster.machines, pool, timeout=CONNECT_SECONDS, silent=silent.append)
    if not any(machine.name in facts for machine in cluster.managers):
        names = ", ".join(machine.name for machine in cluster.managers)
        raise RemoteError(
            machine=cluster.managers[0],
            tried=f"asked {names} for the swarm's state",
            answer=f"no manager answered within {CONNECT_SECONDS:g} s",
            next_step="start the machine; or run `pulumi up`, which makes anew what is gone",
        )
    if not any(told.is_manager for told in facts.values()):
        message = f"{cluster.name}: the swarm is gone\nNext: run `pulumi up`, which makes one"
        raise SwarmGoneError(message)
    return describe(cluster, facts, cluster_id=cluster_id)
