"""Tears down the swarm on machines that remain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.swarm import commands
from infra.swarm.gather import gather
from infra.swarm.release import clean
from infra.swarm.side_by_side import side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.remote.machine import Machine
    from infra.remote.runner import RemoteError, RunnerPool
    from infra.swarm.cluster import Cluster
    from infra.swarm.facts import MachineFacts

CONNECT_SECONDS = 10.0
LEAVE_SECONDS = 90.0


def dismantle(
    cluster: Cluster,
    pool: RunnerPool,
    report: Callable[[str], None],
    *,
    cluster_id: str | None = None,
) -> tuple[str, ...]:
    """Leave the swarm on every machine, workers first, and remove the firewall and our files.

    The engine stays, unless the cluster's ``release`` removes it. With ``cluster_id``, a machine
    that is in another swarm by now stays in that. Returns the names of machines that are not
    changed: those that did not answer within `CONNECT_SECONDS`, which may not exist any more, and
    those whose engine does not run, which cannot be emptied.

    Raises:
        RemoteError: if a command failed on a reachable machine.
        SwarmError: if several commands failed.

    """
    unreachable: list[RemoteError] = []
    facts = gather(
        cluster.machines, pool, timeout=CONNECT_SECONDS, on_unreachable=unreachable.append
    )
    left = {error.machine.name: "it does not answer" for error in unreachable}
    left |= {
        name: "its engine does not run"
        for name, found in facts.items()
        if cluster.release and found.engine == "stopped"
    }
    for name, why in left.items():
        report(f"{name}: nothing is torn down there, because {why}")

    def tear_down(machine: Machine) -> None:
        runner = pool.runner(machine)
        if _is_ours(cluster, facts[machine.name], cluster_id):
            runner.run(commands.FORGET_SWARM, timeout=LEAVE_SECONDS)
            report(f"{machine.name}: left the swarm")
        clean(runner, cluster.release, report)
        report(f"{machine.name}: firewall and our files removed")

    for role in ("worker", "manager"):
        side_by_side(
            [
                lambda machine=machine: tear_down(machine)
                for machine in cluster.machines
                if machine.name not in left and machine.role == role
            ]
        )
    return tuple(left)


def _is_ours(cluster: Cluster, facts: MachineFacts, cluster_id: str | None) -> bool:
    """Return whether the machine is in this cluster's swarm, or was in it."""
    if facts.swarm_state == "inactive":
        return False
    if facts.is_manager:
        return cluster_id in (None, facts.cluster_id)
    if facts.remote_managers:
        return bool(set(cluster.members) & set(facts.remote_managers))
    found = facts.certificate.cluster_id if facts.certificate else None
    return None in (found, cluster_id) or found == cluster_id
