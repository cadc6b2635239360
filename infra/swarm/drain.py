"""Waits until the tasks of a drained node have ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from infra.swarm import commands
from infra.swarm.errors import SwarmError

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.remote.runner import Runner
    from infra.swarm.steps import AwaitTasks

# The final states of a task (swarmkit, api/types.proto).
_ENDED = {"Complete", "Shutdown", "Failed", "Rejected", "Remove", "Orphaned"}
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0
_REPORT_SECONDS = 15.0


def await_tasks(runner: Runner, step: AwaitTasks, report: Callable[[str], None]) -> None:
    """Wait until every task on the node has ended, and report the remaining ones.

    The wait ends if the node goes down: the state of its tasks is then unknown.

    Raises:
        SwarmError: if tasks still run after the step's timeout; nothing was stopped by force.

    """
    begun = time.monotonic()
    reported_at, pause = 0.0, _FIRST_PAUSE_SECONDS
    reported: list[str] = []
    while True:
        state, tasks = parse_tasks(runner.run(commands.running_tasks(step.node_id)).stdout)
        if not tasks or state == "down":
            return
        waited = time.monotonic() - begun
        if waited > step.timeout:
            raise _still_running(step, tasks)
        if tasks != reported or waited - reported_at > _REPORT_SECONDS:
            report(f"{step.name}: waiting for {', '.join(tasks)} to end ({waited:.0f} s)")
            reported, reported_at = tasks, waited
        time.sleep(min(pause, max(step.timeout - waited, 0.05)))
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)


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
