"""Judge a stack: has it converged, what is it waiting for, has it failed? Pure.

A swarm's task counts as running once its health check has passed. A task that fails is started
again without end, so a crash loop is told from a slow start by counting: a slot whose tasks failed
`FAILURES_OF_A_CRASH_LOOP` times since the deployment began will not come up by waiting.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from infra.stack import placement
from infra.stack.tasks import FAILURES, GONE

if TYPE_CHECKING:
    from collections.abc import Collection

    from infra.stack.tasks import Service, Snapshot, Task

FAILURES_OF_A_CRASH_LOOP = 3

_PHRASES = {
    "new": "not placed yet",
    "pending": "not placed yet",
    "assigned": "assigned",
    "accepted": "assigned",
    "preparing": "pulling image",
    "ready": "image ready",
    "starting": "starting",
    "failed": "failed, starts again",
    "rejected": "rejected, starts again",
    "shutdown": "stopped",
}


def is_up(service: Service, task: Task) -> bool:
    """Whether a slot's newest task has got where its service wants it."""
    return task.state == ("complete" if service.ends else "running")


def desired(snapshot: Snapshot, service: Service) -> int:
    """How many tasks a service wants; one of each node where it has no number, and at least 1."""
    if service.replicas is not None:
        return service.replicas
    return max(1, len(snapshot.newest(service)))


def up_count(snapshot: Snapshot, service: Service) -> int:
    """How many of a service's slots are where they should be."""
    return sum(is_up(service, task) for task in snapshot.newest(service))


def unsettled(snapshot: Snapshot) -> list[Service]:
    """Return the services that are not yet as they should be."""
    return [
        service
        for service in snapshot.services
        if up_count(snapshot, service) != desired(snapshot, service)
        or len(snapshot.newest(service)) != desired(snapshot, service)
        or service.update_state not in {"", "completed"}
    ]


def progress(snapshot: Snapshot) -> str:
    """Say in one line what is being waited for; empty when nothing is."""
    return ", ".join(_progress_of(snapshot, service) for service in unsettled(snapshot))


def crash_loop(snapshot: Snapshot, already_failed: Collection[str]) -> Task | None:
    """Return the newest failure of a slot that will not come up by waiting, or None.

    ``already_failed`` are the IDs of tasks that had failed before the deployment began.
    """
    failures = [
        task for task in snapshot.tasks if task.state in FAILURES and task.id not in already_failed
    ]
    counts = Counter((task.service, task.slot) for task in failures)
    for task in failures:
        if counts[task.service, task.slot] >= FAILURES_OF_A_CRASH_LOOP:
            return task
    return None


def finishing(snapshot: Snapshot) -> bool:
    """Whether an update waits for workers that finish their tasks."""
    return any(service.is_worker and snapshot.leaving(service) for service in unsettled(snapshot))


def paused_update(snapshot: Snapshot) -> Service | None:
    """Return a service whose rolling update the swarm has stopped, or None."""
    for service in snapshot.services:
        if service.update_state in {"paused", "rollback_paused"}:
            return service
    return None


def stopped_by(snapshot: Snapshot, service: Service) -> Task | None:
    """Return the task for which the swarm has stopped a service's update: it names it by its ID."""
    for task in snapshot.tasks:
        if task.id in service.update_message:
            return task
    return last_failure(snapshot, service)


def last_failure(snapshot: Snapshot, service: Service) -> Task | None:
    """Return the newest failed task of a service, or the newest that is not up, or None."""
    tasks = [task for task in snapshot.tasks if task.service == service.name]
    for task in tasks:
        if task.state in FAILURES:
            return task
    for task in tasks:
        if not is_up(service, task) and task.state not in GONE:
            return task
    return None


def _progress_of(snapshot: Snapshot, service: Service) -> str:
    leaving = snapshot.leaving(service)
    details = [
        _detail(task, placement.cause(task, service.wants), is_replacement=bool(leaving))
        for task in snapshot.newest(service)
        if not is_up(service, task)
    ]
    details += [_farewell(service, task) for task in leaving]
    line = f"{service.name} {up_count(snapshot, service)}/{desired(snapshot, service)}"
    return f"{line} ({'; '.join(details)})" if details else line


def _detail(task: Task, cause: str, *, is_replacement: bool) -> str:
    """Say where a task is; one that waits for another to go need not say that it has no place."""
    phrase = _PHRASES.get(task.state, task.state)
    place = f"{task.node}: " if task.node else ""
    if task.state == "pending" and is_replacement:
        return "its replacement waits"
    if cause:
        return f"{phrase}: {cause}"
    return f"{place}{phrase}{f': {task.error}' if task.error else ''}"


def _farewell(service: Service, task: Task) -> str:
    what = "finishing its tasks" if service.is_worker else "stopping"
    return f"{task.node}: {what}"
