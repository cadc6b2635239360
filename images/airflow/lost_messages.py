"""A check for stuck tasks that lets tasks wait in the queue, for Airflow's scheduler.

If a task is queued for longer than ``[scheduler] task_queued_timeout``, Airflow assumes that its
message is lost. It queues the task again, and fails it the third time. But a message that no worker
has a slot for is not lost: it waits in the broker. Here, a message is lost if the task stays queued
although its message left the broker's queue some time ago: a worker that received it was killed
before the task started, or the broker lost its data. Such a task is queued again.

``[scheduler] task_queued_timeout`` is also the lifetime of the token that a task starts with. So
it is longer than any message waits. See docs/adr/0015-a-task-waits-in-the-queue.md.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import broker
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.taskinstance import TaskInstance
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from celery import Celery
    from sqlalchemy.orm import Session

LOST_MESSAGE_SECONDS = float(os.environ.get("LOST_MESSAGE_SECONDS", "600"))
"""How long a worker may take from receiving a message to starting its task. A worker retries the
start while the web server is absent."""

SEARCH = "_get_tis_stuck_in_queued"
"""The scheduler's method that returns the task instances to queue again."""


class Absences:
    """Since when each message has been absent from the broker's queues."""

    def __init__(self) -> None:
        """Start without any."""
        self._since: dict[str, float] = {}

    def longer_than(
        self, seconds: float, expected: Collection[str], present: Collection[str], now: float
    ) -> set[str]:
        """Record which ``expected`` ones are absent now; return those absent for ``seconds``."""
        absent = set(expected) - set(present)
        self._since = {message: self._since.get(message, now) for message in absent}
        return {message for message, since in self._since.items() if now - since >= seconds}


def waiting(app: Celery, queues: Iterable[str | None]) -> set[str]:
    """Return the IDs of the messages in the broker's ``queues``, which no worker has received."""
    with app.connection_for_read() as connection, connection.channel() as channel:
        return broker.waiting(channel.client, queues)


def queued(runner: SchedulerJobRunner, session: Session) -> Mapping[str, TaskInstance]:
    """Return the task instances that this scheduler has queued, by the ID of their message."""
    found = session.scalars(
        select(TaskInstance).where(
            TaskInstance.state == TaskInstanceState.QUEUED,
            TaskInstance.queued_by_job_id == runner.job.id,
        )
    )
    return {task.external_executor_id: task for task in found if task.external_executor_id}


def lost(
    runner: SchedulerJobRunner, session: Session, app: Celery, absences: Absences
) -> list[TaskInstance]:
    """Return the task instances whose messages are lost; none while the broker does not answer."""
    tasks = queued(runner, session)
    try:
        present = waiting(app, {task.queue for task in tasks.values()})
    except app.connection().recoverable_connection_errors as error:
        runner.log.warning("Cannot look for lost messages: the broker does not answer: %s", error)
        return []
    messages = absences.longer_than(LOST_MESSAGE_SECONDS, tasks.keys(), present, time.monotonic())
    found = [tasks[message] for message in messages]
    for task in found:
        runner.log.warning("The message of %s is lost: no worker has started the task", task)
    return found


def install() -> None:
    """Make the scheduler's check for stuck tasks find lost messages.

    Raises:
        AttributeError: if this Airflow has no such check. Then the image's build fails.

    """
    from airflow.providers.celery.executors.celery_executor_utils import app

    absences = Absences()

    def stuck(runner: SchedulerJobRunner, session: Session) -> list[TaskInstance]:
        runner._task_queued_timeout = LOST_MESSAGE_SECONDS  # noqa: SLF001 - what the log shows
        return lost(runner, session, app, absences)

    if not hasattr(SchedulerJobRunner, SEARCH):
        msg = f"Airflow's scheduler has no {SEARCH} any more: see what replaces it"
        raise AttributeError(msg)
    setattr(SchedulerJobRunner, SEARCH, stuck)
