"""Bring the swarm on the machines to what is wanted, and verify that it is there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from infra.swarm.errors import SwarmError
from infra.swarm.execute import Execution
from infra.swarm.gather import gather
from infra.swarm.plan import plan
from infra.swarm.recovery import recovery
from infra.swarm.release import way_on
from infra.swarm.standing import can_speak
from infra.swarm.state import describe, unsettled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.remote.machine import Machine
    from infra.remote.runner import RemoteError, RunnerPool
    from infra.swarm.cluster import Cluster, ClusterState
    from infra.swarm.facts import MachineFacts

LEAVING_CONNECT_SECONDS = 20.0
"""How long a leaving machine may be silent before it is removed from the managers' side."""
RETURN_SECONDS = 45.0
"""How long a restarted engine may take to be back in its swarm before that is judged."""
VERIFY_SECONDS = 90.0
"""How long every node may take to be ready after its last step."""
_REVIVALS = 2
"""Engines are started once, and a swarm is recovered once: what that does not mend is an error."""
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
    """Bring the swarm to ``cluster``; what is there already stays as it is.

    ``leaving`` are machines of the last run that are wanted no more: they drain, leave and are
    cleaned; one that does not answer is removed from the managers' side. ``cluster_id`` is the
    swarm that the last run left, so that another one is refused. ``report`` is given one line of
    progress at a time, from several threads.

    Raises:
        SwarmError: the machines cannot become this swarm; the text says why and what to do.
        RemoteError: a machine does not answer, or a command on it failed.

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
    said = _managers_word(cluster, facts, leaving)
    known = [node.node_id for node in said.nodes] if said else []
    Execution(pool, report, tokens=_tokens(said), known=known).run(stages)
    if stages:
        facts = gather(cluster.machines, pool)
    return _verify(cluster, pool, facts, leaving)


def _gather_started(
    cluster: Cluster,
    pool: RunnerPool,
    report: Callable[[str], None],
    going: Mapping[str, MachineFacts],
) -> dict[str, MachineFacts]:
    """Ask the wanted machines, again while one is on its way back into its swarm.

    ``going`` is what the leaving machines told, among which the only manager that can act may be.
    """
    deadline = time.monotonic() + RETURN_SECONDS
    waiting: list[str] = []
    while True:
        facts = _gather_wanted(cluster, pool)
        returning = _returning(cluster, facts, going)
        if not returning or time.monotonic() > deadline:
            return facts
        if returning != waiting:
            names = ", ".join(returning)
            report(f"{names}: on the way back into the swarm (at most {RETURN_SECONDS:g} s)")
            waiting = returning
        time.sleep(_LONGEST_PAUSE_SECONDS)


def _gather_wanted(cluster: Cluster, pool: RunnerPool) -> dict[str, MachineFacts]:
    """Ask the wanted machines, before anything is changed.

    Raises:
        SwarmError: with every machine that does not answer, and what to do.

    """
    silent: list[RemoteError] = []
    facts = gather(cluster.machines, pool, silent=silent.append)
    if silent:
        names = sorted(error.machine.name for error in silent)
        raise SwarmError("\n".join([*map(str, silent), _without(names, cluster)]))
    return facts


def _without(names: list[str], cluster: Cluster) -> str:
    """Say how to get on without machines that do not answer."""
    said = (
        "The swarm was not changed: that needs an answer of every machine, and"
        f" {', '.join(names)} gave none."
    )
    if cluster.release:
        return f"{said} {way_on(names, cluster.managers[0].name)}"
    return f"{said} A machine that is gone is made anew by `pulumi up --refresh`."


def _returning(
    cluster: Cluster, facts: Mapping[str, MachineFacts], going: Mapping[str, MachineFacts]
) -> list[str]:
    """Name the wanted machines that will be able to do their part in a moment.

    After a restart a manager is "pending" until enough of the others are back. One that was just
    promoted is listed as a manager by the others before it can act as one itself.
    """
    believed = [facts[m.name] for m in cluster.machines if cluster.believes(m)]
    voices = (*believed, *going.values())
    managers = {n.node_id for one in voices for n in one.nodes if n.role == "manager"}
    wanted = {machine.name for machine in cluster.managers}
    return sorted(
        name
        for name, one in facts.items()
        if (one.swarm_state == "pending" and not one.is_expired)
        or (name in wanted and one.node_id in managers and not one.nodes)
    )


def _managers_word(
    cluster: Cluster, facts: Mapping[str, MachineFacts], leaving: tuple[Machine, ...]
) -> MachineFacts | None:
    """Return what a manager told that can act; None when there is no swarm yet."""
    for machine in (*cluster.machines, *leaving):
        told = facts.get(machine.name)
        if told is not None and told.nodes and can_speak(cluster, machine, told):
            return told
    return None


def _tokens(said: MachineFacts | None) -> dict[str, str]:
    """Return the join tokens by role; none when there is no swarm yet."""
    return {"worker": said.worker_token, "manager": said.manager_token} if said else {}


def _gather_leaving(
    leaving: tuple[Machine, ...], pool: RunnerPool, report: Callable[[str], None]
) -> dict[str, MachineFacts]:
    """Ask the leaving machines; those that are silent are left out."""

    def silent(error: RemoteError) -> None:
        report(
            f"{error.machine.name}: does not answer within {LEAVING_CONNECT_SECONDS:g} s;"
            " it will be removed from the managers' side, and what was put on it stays there"
        )

    return gather(leaving, pool, timeout=LEAVING_CONNECT_SECONDS, silent=silent)


def _verify(
    cluster: Cluster,
    pool: RunnerPool,
    facts: Mapping[str, MachineFacts],
    leaving: tuple[Machine, ...],
) -> ClusterState:
    """Look until nothing is left to do and every node is ready.

    Raises:
        SwarmError: something is still amiss after `VERIFY_SECONDS`; says what.

    """
    deadline = time.monotonic() + VERIFY_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    while True:
        state = describe(cluster, facts, leaving=leaving)
        amiss = (*state.pending, *unsettled(cluster, state))
        if not amiss:
            return state
        if time.monotonic() > deadline:
            seen = "\n  ".join(amiss)
            message = (
                f"{cluster.name}: waited {VERIFY_SECONDS:g} s for the swarm to be as wanted;"
                f" still amiss:\n  {seen}\nNext: see `docker node ls` on"
                f" {cluster.managers[0].name} and `journalctl -u docker` (or the container's"
                " log) on the machine named, then run the same again"
            )
            raise SwarmError(message)
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
        facts = gather(cluster.machines, pool)
