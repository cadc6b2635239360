"""Take the swarm apart on machines that stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.swarm import commands
from infra.swarm.execute import side_by_side
from infra.swarm.gather import gather
from infra.swarm.release import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.remote.machine import Machine
    from infra.remote.runner import RunnerPool
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

    The engine stays, unless the cluster's ``release`` says otherwise. With ``cluster_id``, a
    machine that is in another swarm by now keeps that. Returns the names of machines that did not
    answer within `CONNECT_SECONDS`, which are left as they are: a machine may be gone already.

    Raises:
        RemoteError: a command failed on a machine that answers.
        SwarmError: several did.

    """
    silent: list[Machine] = []
    facts = gather(cluster.machines, pool, timeout=CONNECT_SECONDS, silent=silent.append)
    for machine in silent:
        report(f"{machine.name}: does not answer, so that nothing is taken apart there")

    def part(machine: Machine) -> None:
        runner = pool.runner(machine)
        if _is_ours(cluster, facts[machine.name], cluster_id):
            runner.run(commands.FORGET_SWARM, timeout=LEAVE_SECONDS)
            report(f"{machine.name}: left the swarm")
        clean(runner, cluster.release, report)
        report(f"{machine.name}: firewall and our files removed")

    for role in ("worker", "manager"):
        side_by_side(
            [
                lambda machine=machine: part(machine)
                for machine in cluster.machines
                if machine.name in facts and machine.role == role
            ]
        )
    return tuple(machine.name for machine in silent)


def _is_ours(cluster: Cluster, facts: MachineFacts, cluster_id: str | None) -> bool:
    """Tell whether the machine is in this cluster's swarm, or in what is left of it."""
    if facts.swarm_state == "inactive":
        return False
    if facts.is_manager:
        return cluster_id in (None, facts.cluster_id)
    return not facts.remote_managers or bool(set(cluster.members) & set(facts.remote_managers))
