"""Drains nodes, and waits until their tasks have ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.remote.wait import attempts
from infra.swarm.errors import SwarmError
from infra.swarm.step import NodeStep, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.remote.machine import Machine
    from infra.remote.runner import Runner
    from infra.swarm.cluster import Cluster
    from infra.swarm.execute import Execution
    from infra.swarm.facts import SwarmNode

# The final states of a task (swarmkit, api/types.proto).
_ENDED = {"Complete", "Shutdown", "Failed", "Rejected", "Remove", "Orphaned"}
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0
_REPORT_SECONDS = 15.0

KILL_SECONDS = 30.0
"""Additional time for the engine to kill a task after its grace period, and for the managers to
detect it."""


class Drain(NodeStep):
    """Drain the node: the swarm stops its tasks and does not assign new ones."""

    TODO = "drain"
    DONE = "draining"

    def take(self, execution: Execution) -> None:
        """Set the node's availability."""
        command = f"docker node update --availability drain {self.node_id} > /dev/null"
        execution.update(self.via, command)


@dataclass(frozen=True, kw_only=True)
class AwaitTasks(NodeStep):
    """Wait until no task runs on a drained node: draining itself does not wait (moby#33220)."""

    timeout: float

    TODO = "wait until no task runs on it"
    DONE = "no task runs on it any more"

    def take(self, execution: Execution) -> None:
        """Wait, and report the tasks that still run."""
        await_tasks(execution.on(self.via), self, execution.report)


def draining(cluster: Cluster, via: Machine, name: str, node: SwarmNode) -> tuple[Step, ...]:
    """Drain and wait, unless the node is down: a task of its last state would never end."""
    if node.state == "down":
        return ()
    wait = AwaitTasks(
        via=via, name=name, node_id=node.node_id, timeout=cluster.drain_timeout + KILL_SECONDS
    )
    if node.availability == "drain":
        return (wait,)
    return (Drain(via=via, name=name, node_id=node.node_id), wait)


def await_tasks(runner: Runner, step: AwaitTasks, report: Callable[[str], None]) -> None:
    """Wait until every task on the node has ended, and report the remaining ones.

    The wait ends if the node goes down: the state of its tasks is then unknown.

    Raises:
        SwarmError: if tasks still run after the step's timeout; nothing was stopped by force.

    """
    reported_at = 0.0
    reported: list[str] = []
    tasks: list[str] = []
    for waited in attempts(
        step.timeout, first=_FIRST_PAUSE_SECONDS, longest=_LONGEST_PAUSE_SECONDS
    ):
        state, tasks = parse_tasks(runner.run(list_tasks(step.node_id)).stdout)
        if not tasks or state == "down":
            return
        if tasks != reported or waited - reported_at > _REPORT_SECONDS:
            report(f"{step.name}: waiting for {', '.join(tasks)} to end ({waited:.0f} s)")
            reported, reported_at = tasks, waited
    raise _still_running(step, tasks)


def parse_tasks(text: str) -> tuple[str, list[str]]:
    """Return the node's state and the names of its tasks that have not ended."""
    state, *lines = text.splitlines() or [""]
    tasks = (line.partition("\t") for line in lines if line)
    return state, [name for name, _, current in tasks if current.split(" ")[0] not in _ENDED]


def _still_running(step: AwaitTasks, tasks: list[str]) -> SwarmError:
    return SwarmError(
        f"{step.name}: drained, but {', '.join(tasks)} still ran after {step.timeout:g} s\n"
        "Next: wait for them, or stop them, and rerun the command; or set a drain timeout longer"
        " than the longest stop grace period"
    )


def list_tasks(node_id: str) -> str:
    """Return the command for `parse_tasks`: it prints a node's state, then its tasks."""
    return (
        f"docker node inspect --format '{{{{.Status.State}}}}' {node_id}"
        f" && docker node ps --no-trunc --format '{{{{.Name}}}}\t{{{{.CurrentState}}}}' {node_id}"
    )
