"""Reads the current state of the swarm, without changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.remote.runner import UNREACHABLE_SECONDS
from infra.swarm.errors import SwarmNotFoundError, SwarmUnreachableError
from infra.swarm.gather import gather
from infra.swarm.membership import is_acting_manager, is_waiting, why_waiting
from infra.swarm.state import describe

if TYPE_CHECKING:
    from infra.remote.runner import RemoteError, RunnerPool
    from infra.swarm.cluster import Cluster, ClusterState
    from infra.swarm.facts import MachineFacts

CONNECT_SECONDS = UNREACHABLE_SECONDS


def observe(cluster: Cluster, pool: RunnerPool, *, cluster_id: str | None = None) -> ClusterState:
    """Return the current state; ``pending`` lists the differences from ``cluster``.

    A worker that does not answer within `CONNECT_SECONDS` is described as its managers list it.

    Raises:
        SwarmUnreachableError: if no manager reports the swarm, and one that does not answer, or
            waits for others, may be in it. The text has a line for each such manager.
        SwarmNotFoundError: if all managers answer, and none is in a swarm.
        SwarmError: if the machines are in another swarm.

    """
    unreachable: list[RemoteError] = []
    facts = gather(
        cluster.machines, pool, timeout=CONNECT_SECONDS, on_unreachable=unreachable.append
    )
    if not any(
        m.name in facts and is_acting_manager(cluster, m, facts[m.name]) for m in cluster.machines
    ):
        managers = {machine.name for machine in cluster.managers}
        unknown = {
            **{error.machine.name: "does not answer" for error in unreachable},
            **{name: why for name, one in facts.items() if (why := _unsure(one))},
        }
        lines = [f"{name}: {why}" for name, why in sorted(unknown.items()) if name in managers]
        if lines:
            raise SwarmUnreachableError("\n".join(lines))
        message = f"{cluster.name}: the swarm is lost\nNext: run `pulumi up`, which creates one"
        raise SwarmNotFoundError(message)
    return describe(cluster, facts, cluster_id=cluster_id)


def _unsure(facts: MachineFacts) -> str:
    """Return why a machine that answers cannot report whether it is a manager; empty if it can."""
    if facts.engine == "stopped":
        return "its Docker engine does not run"
    if facts.is_expired:
        return "its certificate has expired, and it is not back in its swarm"
    if facts.swarm_state == "error" and is_waiting(facts):
        return f"is not back in its swarm: {why_waiting(facts)}"
    if facts.swarm_state == "pending" or is_waiting(facts):
        return "is not back in its swarm"
    return ""
