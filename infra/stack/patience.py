"""Tell a slow deployment from one that stands still. Pure but for the clock that is given.

A slow machine takes as long as it does. So a deployment has no time limit: it fails when nothing
has moved for `STILL_SECONDS`, or for `LONG_STEP_SECONDS` while a step is under way whose progress
the swarm does not show.
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
"""Lines of a container's log that tell of no progress: it waits for another one, or was asked for
its health."""


class Patience:
    """How long a deployment has stood still; times are a monotonic clock's, in seconds."""

    def __init__(self, now: float) -> None:
        """Begin to watch."""
        self._moved = now
        self._seen: object = None

    def see(self, now: float, snapshot: Snapshot, waiting: str, logs: str = "") -> None:
        """Note what is seen: any difference from the last time is a movement.

        So are a worker's tasks that run to their end: the swarm limits that by the grace period.
        """
        tasks = frozenset((task.id, task.state, task.error) for task in snapshot.tasks)
        updates = tuple((service.name, service.update_state) for service in snapshot.services)
        seen = (tasks, updates, waiting, _told(logs))
        if seen != self._seen or convergence.finishing(snapshot):
            self._moved = now
        self._seen = seen

    def still(self, now: float) -> float:
        """Return for how many seconds nothing has moved."""
        return now - self._moved

    def is_over(self, now: float, snapshot: Snapshot) -> bool:
        """Whether to give up."""
        return self.still(now) >= limit(snapshot)


def limit(snapshot: Snapshot) -> float:
    """Return the seconds after which a deployment that stands still as this one has failed."""
    steps = (_is_long_step(snapshot, task) for task in starting(snapshot))
    return LONG_STEP_SECONDS if any(steps) else STILL_SECONDS


def starting(snapshot: Snapshot) -> list[Task]:
    """Return the tasks that have a node and are not up."""
    return [
        task
        for service in snapshot.services
        for task in snapshot.newest(service)
        if task.node and not convergence.is_up(service, task)
    ]


def _is_long_step(snapshot: Snapshot, task: Task) -> bool:
    """Whether a task pulls its image, or does the work that its service is there for."""
    ends = {service.name for service in snapshot.services if service.ends}
    return task.state == "preparing" or (task.state == "running" and task.service in ends)


def _told(logs: str) -> str:
    """Leave out of containers' last lines those that tell of no progress."""
    return "\n".join(line for line in logs.splitlines() if not _NO_PROGRESS.search(line))
