"""Distinguishes a slow deployment from a stalled one. Pure except for the given clock.

A slow machine takes long, so a deployment has no time limit: it fails if there is no progress for
`STILL_SECONDS`, or for `LONG_STEP_SECONDS` during a step whose progress the swarm does not show.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from infra.stack import convergence

if TYPE_CHECKING:
    from infra.stack.tasks import Snapshot, Task

STILL_SECONDS = 600.0
LONG_STEP_SECONDS = 3_600.0

_NO_PROGRESS = re.compile(r"^waiting for |/health\b")
"""Lines of a container's log that do not show progress: it waits for another one, or its health was
checked."""


class Patience:
    """Time without progress of a deployment; times are a monotonic clock's, in seconds."""

    def __init__(self, now: float) -> None:
        """Start the measurement."""
        self._moved = now
        self._seen: object = None

    def see(self, now: float, snapshot: Snapshot, waiting: str, logs: str = "") -> None:
        """Save the current state: any difference from the previous one is progress.

        Tasks that a worker finishes count as progress too: the swarm limits them by the grace
        period.
        """
        tasks = frozenset((task.id, task.state, task.error) for task in snapshot.tasks)
        updates = tuple((service.name, service.update_state) for service in snapshot.services)
        seen = (tasks, updates, waiting, _progress_lines(logs))
        if seen != self._seen or convergence.finishing(snapshot):
            self._moved = now
        self._seen = seen

    def still(self, now: float) -> float:
        """Return for how many seconds there has been no progress."""
        return now - self._moved

    def is_over(self, now: float, snapshot: Snapshot) -> bool:
        """Return whether the deployment has stalled."""
        return self.still(now) >= limit(snapshot)


def limit(snapshot: Snapshot) -> float:
    """Return the seconds without progress after which this deployment has failed."""
    steps = (_is_long_step(snapshot, task) for task in starting(snapshot))
    return LONG_STEP_SECONDS if any(steps) else STILL_SECONDS


def starting(snapshot: Snapshot) -> list[Task]:
    """Return the tasks that have a node and are not in the desired state."""
    return [
        task
        for service in snapshot.services
        for task in snapshot.newest(service)
        if task.node and not convergence.is_up(service, task)
    ]


def _is_long_step(snapshot: Snapshot, task: Task) -> bool:
    """Whether a task pulls its image, or runs the work of a service that ends."""
    ends = {service.name for service in snapshot.services if service.ends}
    return task.state == "preparing" or (task.state == "running" and task.service in ends)


def _progress_lines(logs: str) -> str:
    """Return the last lines of containers without those that do not show progress."""
    return "\n".join(line for line in logs.splitlines() if not _NO_PROGRESS.search(line))
