"""Brings the swarm to the desired state, and verifies the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.remote.runner import UNREACHABLE_SECONDS
from infra.remote.wait import attempts
from infra.swarm.errors import SwarmError
from infra.swarm.execute import Execution
from infra.swarm.gather import gather
from infra.swarm.membership import is_acting_manager
from infra.swarm.plan import plan
from infra.swarm.recovery import recovery
from infra.swarm.release import recovery_hint
from infra.swarm.state import describe, unsettled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.remote.machine import Machine
    from infra.remote.runner import RemoteError, RunnerPool
    from infra.swarm.cluster import Cluster, ClusterState
    from infra.swarm.facts import MachineFacts

LEAVING_CONNECT_SECONDS = UNREACHABLE_SECONDS
"""How long a leaving machine may be unreachable before it is removed through the managers."""
RETURN_SECONDS = 45.0
"""How long a restarted engine may take to rejoin its swarm."""
VERIFY_SECONDS = 90.0
"""How long the nodes may take to be ready after the last step."""
_REVIVALS = 2
"""Engines are started once, and a swarm is recovered once: if that does not help, it is an
error."""
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0


def reconcile(
    cluster: Cluster,
    pool: RunnerPool,
    report: Callable[[str], None],
    *,
    leaving: tuple[Machine, ...] = (),
    cluster_id: str | None = None,
) -> ClusterState:
    """Bring the swarm to ``cluster``; parts in the desired state are not changed.

    ``leaving`` are machines of the last run that are not in ``cluster``: they drain, leave and are
    cleaned; an unreachable one is removed through the managers. ``cluster_id`` is the swarm of the
    last run; another swarm is rejected. ``report`` receives one line of progress at a time, from
    several threads.

    Raises:
        SwarmError: if the machines cannot become this swarm; the text has the cause and next step.
        RemoteError: if a machine does not answer, or a command on it failed.

    """
    going = _gather_leaving(leaving, pool, report)
    facts = _gather_started(cluster, pool, report, going) | going
    for _ in range(_REVIVALS):
        revival = recovery(cluster, facts, leaving=leaving, cluster_id=cluster_id)
        if not revival:
            break
        Execution(pool, report, tokens={}).run(revival)
        going = _gather_leaving(leaving, pool, report)
        facts = _gather_started(cluster, pool, report, going) | going
    stages = plan(cluster, facts, leaving=leaving, cluster_id=cluster_id)
    manager = _acting_manager_facts(cluster, facts, leaving)
    known = [node.node_id for node in manager.nodes] if manager else []
    Execution(pool, report, tokens=_tokens(manager), known=known).run(stages)
    if stages:
        facts = gather(cluster.machines, pool)
    return _verify(cluster, pool, facts, leaving)


def _gather_started(
    cluster: Cluster,
    pool: RunnerPool,
    report: Callable[[str], None],
    going: Mapping[str, MachineFacts],
) -> dict[str, MachineFacts]:
    """Read the machines' facts, repeatedly while one is rejoining its swarm.

    ``going`` are the facts of the leaving machines, which may include the only acting manager.
    """
    facts: dict[str, MachineFacts] = {}
    waiting: list[str] = []
    for _ in attempts(RETURN_SECONDS, first=_LONGEST_PAUSE_SECONDS):
        facts = _gather_wanted(cluster, pool)
        returning = _returning(cluster, facts, going)
        if not returning:
            break
        if returning != waiting:
            names = ", ".join(returning)
            report(f"{names}: rejoining the swarm (at most {RETURN_SECONDS:g} s)")
            waiting = returning
    return facts


def _gather_wanted(cluster: Cluster, pool: RunnerPool) -> dict[str, MachineFacts]:
    """Read the facts of all machines of ``cluster``, before anything is changed.

    Raises:
        SwarmError: lists every machine that does not answer, and the next step.

    """
    unreachable: list[RemoteError] = []
    facts = gather(cluster.machines, pool, on_unreachable=unreachable.append)
    if unreachable:
        names = sorted(error.machine.name for error in unreachable)
        raise SwarmError("\n".join([*map(str, unreachable), _without(names, cluster)]))
    return facts


def _without(names: list[str], cluster: Cluster) -> str:
    """Return a hint on how to continue without unreachable machines."""
    summary = (
        f"The swarm was not changed: a change needs every machine, and {', '.join(names)} did not"
        " answer."
    )
    if cluster.release:
        return f"{summary} {recovery_hint(names, cluster.managers[0].name)}"
    return f"{summary} `pulumi up --refresh` recreates a machine that does not exist any more."


def _returning(
    cluster: Cluster, facts: Mapping[str, MachineFacts], going: Mapping[str, MachineFacts]
) -> list[str]:
    """Return the names of machines that are about to rejoin the swarm.

    After a restart a manager is "pending" until enough of the others are back. The others list a
    newly promoted manager before it can act as one itself.
    """
    trusted = [facts[m.name] for m in cluster.machines if cluster.trusts_as_manager(m)]
    reachable = (*trusted, *going.values())
    managers = {n.node_id for one in reachable for n in one.nodes if n.role == "manager"}
    wanted = {machine.name for machine in cluster.managers}
    return sorted(
        name
        for name, one in facts.items()
        if (one.swarm_state == "pending" and not one.is_expired)
        or (name in wanted and one.node_id in managers and not one.nodes)
    )


def _acting_manager_facts(
    cluster: Cluster, facts: Mapping[str, MachineFacts], leaving: tuple[Machine, ...]
) -> MachineFacts | None:
    """Return the facts of an acting manager; None if there is no swarm yet."""
    for machine in (*cluster.machines, *leaving):
        found = facts.get(machine.name)
        if found is not None and found.nodes and is_acting_manager(cluster, machine, found):
            return found
    return None


def _tokens(manager: MachineFacts | None) -> dict[str, str]:
    """Return the join tokens by role; empty if there is no swarm yet."""
    return {"worker": manager.worker_token, "manager": manager.manager_token} if manager else {}


def _gather_leaving(
    leaving: tuple[Machine, ...], pool: RunnerPool, report: Callable[[str], None]
) -> dict[str, MachineFacts]:
    """Read the facts of the leaving machines, without unreachable ones."""

    def note(error: RemoteError) -> None:
        report(
            f"{error.machine.name}: does not answer within {LEAVING_CONNECT_SECONDS:g} s; it will"
            " be removed through the managers, and what was installed on it stays there"
        )

    return gather(leaving, pool, timeout=LEAVING_CONNECT_SECONDS, on_unreachable=note)


def _verify(
    cluster: Cluster,
    pool: RunnerPool,
    facts: Mapping[str, MachineFacts],
    leaving: tuple[Machine, ...],
) -> ClusterState:
    """Wait until no step is left and every node is ready.

    Raises:
        SwarmError: if this is not so after `VERIFY_SECONDS`; lists what is missing.

    """
    missing: tuple[str, ...] = ()
    for waited in attempts(
        VERIFY_SECONDS, first=_FIRST_PAUSE_SECONDS, longest=_LONGEST_PAUSE_SECONDS
    ):
        if waited:
            facts = gather(cluster.machines, pool)
        state = describe(cluster, facts, leaving=leaving)
        missing = (*state.pending, *unsettled(cluster, state))
        if not missing:
            return state
    seen = "\n  ".join(missing)
    message = (
        f"{cluster.name}: the swarm did not reach the desired state in {VERIFY_SECONDS:g}"
        " s. Missing:\n"
        f"  {seen}\n"
        f"Next: check `docker node ls` on {cluster.managers[0].name} and `journalctl -u"
        " docker` (or the container's log) on the named machine, then rerun the command"
    )
    raise SwarmError(message)
