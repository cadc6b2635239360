"""Promotes and demotes nodes, and waits for the effect: both commands only request it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import tenacity

from infra.remote.runner import RemoteError
from infra.swarm.errors import SwarmError
from infra.swarm.step import NodeStep, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.remote.machine import Machine
    from infra.remote.runner import Runner
    from infra.swarm.cluster import Cluster
    from infra.swarm.execute import Execution
    from infra.swarm.membership import Membership

ROLE_CHANGE_SECONDS = 60.0


class Promote(NodeStep):
    """Promote a worker to manager."""

    TODO = "promote to manager"
    DONE = "promoted to manager"

    def take(self, execution: Execution) -> None:
        """Promote it, and wait until it takes part in Raft."""
        execution.update(self.via, f"docker node promote {self.node_id} > /dev/null")
        await_promoted(execution.on(self.via), self)


@dataclass(frozen=True, kw_only=True)
class Demote(NodeStep):
    """Demote a manager to worker; ``machine`` is None if it is unreachable."""

    machine: Machine | None

    TODO = "demote to worker"
    DONE = "demoted to worker"

    def take(self, execution: Execution) -> None:
        """Demote it, and wait until it has left Raft."""
        execution.update(self.via, f"docker node demote {self.node_id} > /dev/null")
        demoted = execution.on(self.machine) if self.machine else None
        await_demoted(execution.on(self.via), demoted, self)


def promotions(cluster: Cluster, membership: Membership) -> tuple[Step, ...]:
    """Promote the workers that the settings make managers."""
    if membership.manager is None:
        return ()
    return tuple(
        Promote(via=membership.manager, name=m.name, node_id=membership.members[m.name].node_id)
        for m in cluster.managers
        if m.name in membership.members and membership.members[m.name].role != "manager"
    )


def demotions(
    cluster: Cluster, membership: Membership, via: Machine, reachable: Mapping[str, Machine]
) -> tuple[Step, ...]:
    """Demote managers one at a time, those that are down first and the leader last.

    Without demotion a manager that left still counts in the quorum (moby#30847); demoting the
    leader while another manager is not ready can lose the quorum (moby#34384).
    """
    wanted = {machine.name for machine in cluster.managers}
    current = {**membership.members, **membership.departing}
    going = sorted(
        ((name, node) for name, node in current.items() if node.is_voter and name not in wanted),
        key=lambda item: (item[1].reachability == "reachable", item[1].leader, item[0]),
    )
    gone = {node.node_id for node in membership.stale_nodes}
    raft = [node for node in membership.nodes if node.is_voter and node.node_id not in gone]
    joining = len(wanted - {name for name, node in current.items() if node.is_voter})
    voters, live = len(raft) + joining, joining + sum(n.reachability == "reachable" for n in raft)
    steps: list[Step] = []
    for name, node in going:
        voters, live = voters - 1, live - (node.reachability == "reachable")
        if live * 2 <= voters:
            raise _no_quorum(name, live, voters)
        steps.append(Demote(via=via, name=name, node_id=node.node_id, machine=reachable.get(name)))
    return tuple(steps)


def _no_quorum(name: str, live: int, voters: int) -> SwarmError:
    return SwarmError(
        f"{name}: it cannot be demoted: only {live} of the {voters} remaining managers are"
        " reachable, and a swarm needs more than half\n"
        "Next: start the managers that are down, then rerun the command"
    )


def await_promoted(manager: Runner, step: Promote) -> None:
    """Wait until the node takes part in Raft.

    Raises:
        SwarmError: if it does not within a minute.

    """

    def look() -> tuple[bool, str]:
        status = manager.run(_status(step.node_id)).stdout.split()
        return status == ["ready", "manager", "reachable"], " ".join(status)

    _await(f"{step.name}: waited for it to become a manager", look)


def await_demoted(manager: Runner, demoted: Runner | None, step: Demote) -> None:
    """Wait until the node has left Raft, as reported by the managers and, if reachable, by itself.

    A leader transfers its leadership first, so that for a moment no manager answers.

    Raises:
        SwarmError: if it has not within a minute.

    """

    def look() -> tuple[bool, str]:
        completed = manager.run(_status(step.node_id), check=False)
        if completed.exit_status != 0:
            return False, completed.stderr.strip()
        status = completed.stdout.split()
        if status[1:] != ["worker"]:
            return False, " ".join(status)
        if demoted is None:
            return True, ""
        own = demoted.run("docker info --format '{{.Swarm.ControlAvailable}}'", check=False)
        return own.stdout.strip() == "false", "the machine itself still acts as a manager"

    _await(f"{step.name}: waited for it to become a worker", look)


def _await(tried: str, look: Callable[[], tuple[bool, str]]) -> None:
    """Check until the result is true, for at most `ROLE_CHANGE_SECONDS`."""
    seen = ""

    def once() -> bool:
        nonlocal seen
        done, seen = look()
        return done

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_delay(ROLE_CHANGE_SECONDS),
        wait=tenacity.wait_exponential(multiplier=0.1, max=1),
        retry=tenacity.retry_if_result(lambda done: not done)
        | tenacity.retry_if_exception_type(RemoteError),
    )
    try:
        retrying(once)
    except tenacity.RetryError as exc:
        message = (
            f"{tried} {ROLE_CHANGE_SECONDS:g} s; last seen: {seen}\n"
            "Next: check `docker node ls` on a manager, then rerun the command"
        )
        raise SwarmError(message) from exc


def _status(node_id: str) -> str:
    """Return a command that prints a node's state, role and reachability."""
    return (
        "docker node inspect --format '{{.Status.State}} {{.Spec.Role}}"
        f" {{{{with .ManagerStatus}}}}{{{{.Reachability}}}}{{{{end}}}}' {node_id}"
    )
