"""Evaluates a stack: whether it has converged or failed, and what it is waiting for. Pure.

A task counts as running after its health check has passed. The swarm restarts a failed task without
end, so counting distinguishes a crash loop from a slow start: a slot whose tasks failed
`FAILURES_OF_A_CRASH_LOOP` times since the deployment began will not start.
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
    "failed": "failed, restarting",
    "rejected": "rejected, restarting",
    "shutdown": "stopped",
}


def is_up(service: Service, task: Task) -> bool:
    """Whether a slot's newest task is in the desired state."""
    return task.state == ("complete" if service.ends else "running")


def desired(snapshot: Snapshot, service: Service) -> int:
    """Desired number of tasks of a service; one for each node if it is not set, and at least 1."""
    if service.replicas is not None:
        return service.replicas
    return max(1, len(snapshot.newest(service)))


def up_count(snapshot: Snapshot, service: Service) -> int:
    """Count a service's slots in the desired state."""
    return sum(is_up(service, task) for task in snapshot.newest(service))


def unsettled(snapshot: Snapshot) -> list[Service]:
    """Return the services that are not yet in the desired state."""
    return [
        service
        for service in snapshot.services
        if up_count(snapshot, service) != desired(snapshot, service)
        or len(snapshot.newest(service)) != desired(snapshot, service)
        or service.update_state not in {"", "completed"}
    ]


def progress(snapshot: Snapshot) -> str:
    """Return in one line what is not ready yet; empty if everything is."""
    return ", ".join(_progress_of(snapshot, service) for service in unsettled(snapshot))


def crash_loop(snapshot: Snapshot, already_failed: Collection[str]) -> Task | None:
    """Return the newest failure of a slot in a crash loop, or None.

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
    """Return the task because of which the swarm stopped a service's update."""
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
    details += [_stopping(service, task) for task in leaving]
    line = f"{service.name} {up_count(snapshot, service)}/{desired(snapshot, service)}"
    return f"{line} ({'; '.join(details)})" if details else line


def _detail(task: Task, cause: str, *, is_replacement: bool) -> str:
    """Describe the state of a task; for a replacement that waits, without the missing node."""
    phrase = _PHRASES.get(task.state, task.state)
    place = f"{task.node}: " if task.node else ""
    if task.state == "pending" and is_replacement:
        return "its replacement waits"
    if cause:
        return f"{phrase}: {cause}"
    return f"{place}{phrase}{f': {task.error}' if task.error else ''}"


def _stopping(service: Service, task: Task) -> str:
    what = "finishing its tasks" if service.is_worker else "stopping"
    return f"{task.node}: {what}"
