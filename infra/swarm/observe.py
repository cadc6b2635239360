"""Look at what is there, changing nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.swarm.errors import SwarmGoneError, SwarmSilentError
from infra.swarm.gather import gather
from infra.swarm.standing import can_speak, is_waiting, why_waiting
from infra.swarm.state import describe

if TYPE_CHECKING:
    from infra.remote.runner import RemoteError, RunnerPool
    from infra.swarm.cluster import Cluster, ClusterState
    from infra.swarm.facts import MachineFacts

CONNECT_SECONDS = 20.0


def observe(cluster: Cluster, pool: RunnerPool, *, cluster_id: str | None = None) -> ClusterState:
    """Return what is there; ``pending`` tells what differs from ``cluster``.

    A worker that does not answer within `CONNECT_SECONDS` is described as its managers see it.

    Raises:
        SwarmSilentError: no manager tells of the swarm, and one that does not answer, or waits
            for others, may be in it. The text has a line for each such manager.
        SwarmGoneError: all managers answer, and none is in a swarm.
        SwarmError: the swarm there is another one.

    """
    silent: list[RemoteError] = []
    facts = gather(cluster.machines, pool, timeout=CONNECT_SECONDS, silent=silent.append)
    if not any(m.name in facts and can_speak(cluster, m, facts[m.name]) for m in cluster.machines):
        managers = {machine.name for machine in cluster.managers}
        unknown = {
            **{error.machine.name: "does not answer" for error in silent},
            **{name: why for name, one in facts.items() if (why := _unsure(one))},
        }
        lines = [f"{name}: {why}" for name, why in sorted(unknown.items()) if name in managers]
        if lines:
            raise SwarmSilentError("\n".join(lines))
        message = f"{cluster.name}: the swarm is gone\nNext: run `pulumi up`, which makes one"
        raise SwarmGoneError(message)
    return describe(cluster, facts, cluster_id=cluster_id)


def _unsure(facts: MachineFacts) -> str:
    """Say why a machine that answers cannot tell whether it is a manager; empty where it can."""
    if facts.engine == "stopped":
        return "its Docker engine does not run"
    if facts.is_expired:
        return "its certificate has expired, and it is not back in its swarm"
    if facts.swarm_state == "error" and is_waiting(facts):
        return f"is not back in its swarm: {why_waiting(facts)}"
    if facts.swarm_state == "pending" or is_waiting(facts):
        return "is not back in its swarm"
    return ""
