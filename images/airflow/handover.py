"""What makes an end of Airflow's scheduler lose no task.

Airflow's scheduler writes to the database that a task is queued, and then sends it to the broker.
Between the two it can end: by SIGTERM, which Airflow answers by raising SystemExit wherever its
code is, or because the broker or the result backend does not answer. The next scheduler finds the
task queued, takes it for sent, and waits for it until ``task_queued_timeout``. So

- SIGTERM ends the scheduler after the loop that it is in;
- results that cannot be read are read in the next loop;
- a scheduler that takes over queued tasks sends those that are not in the broker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import broker
from airflow.executors import workloads
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.providers.celery.executors.celery_executor import CeleryExecutor
from airflow.utils.state import TaskInstanceState
from celery import states
from sqlalchemy.orm import object_session

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import FrameType

    from airflow.models.taskinstance import TaskInstance

adopt = CeleryExecutor.try_adopt_task_instances
read_results = CeleryExecutor.update_all_workload_states


def end_after_this_loop(runner: SchedulerJobRunner, signum: int, _frame: FrameType | None) -> None:
    """Let the present loop be the last one; replaces ``_exit_gracefully``."""
    runner.log.info("Ends after this loop, upon signal %s", signum)
    runner.only_idle = False
    runner.num_runs = 1


def read_results_if_possible(executor: CeleryExecutor) -> None:
    """Read the results of the tasks that run; replaces ``update_all_workload_states``."""
    try:
        read_results(executor)
    except Exception as error:
        if not executor.celery_app.backend.exception_safe_to_retry(error):
            raise
        executor.log.warning("Results cannot be read now; the next loop does: %s", error)


def adopt_and_send(executor: CeleryExecutor, tis: Sequence[TaskInstance]) -> Sequence[TaskInstance]:
    """Take over the tasks of a scheduler that has ended; replaces ``try_adopt_task_instances``."""
    not_adopted = adopt(executor, tis)
    queued = [
        ti
        for ti in set(tis) - set(not_adopted)
        if ti.state == TaskInstanceState.QUEUED and is_pending(executor, ti)
    ]
    if queued:
        sent = ids_in_broker(executor, {ti.queue for ti in queued})
        for ti in queued:
            if ti.external_executor_id not in sent:
                send_again(executor, ti)
    return not_adopted


def is_pending(executor: CeleryExecutor, ti: TaskInstance) -> bool:
    """Whether no worker has stored a result for the task."""
    result = executor.workloads.get(ti.key)
    return result is not None and result.state == states.PENDING


def ids_in_broker(executor: CeleryExecutor, queues: Iterable[str | None]) -> set[str]:
    """Return the Celery IDs of all tasks that wait in the queues or that a worker has taken."""
    with executor.celery_app.connection_for_read() as connection:
        client: Any = connection.default_channel.client
        return broker.waiting(client, queues) | broker.taken(client)


def send_again(executor: CeleryExecutor, ti: TaskInstance) -> None:
    """Queue a task in the executor, which sends it in its next loop under the same Celery ID."""
    executor.log.info("%s was not sent by the former scheduler", ti)
    executor.running.discard(ti.key)
    executor.workloads.pop(ti.key, None)
    workload = workloads.ExecuteTask.make(ti, generator=executor.jwt_generator)
    session: Any = object_session(ti)
    executor.queue_workload(workload, session=session)


def install() -> None:
    """Change Airflow's scheduler and its executor.

    Raises:
        AttributeError: if this Airflow lacks what is replaced. Then the image's build fails.

    """
    for owner, name, replacement in (
        (SchedulerJobRunner, "_exit_gracefully", end_after_this_loop),
        (CeleryExecutor, "update_all_workload_states", read_results_if_possible),
        (CeleryExecutor, "try_adopt_task_instances", adopt_and_send),
    ):
        getattr(owner, name)
        setattr(owner, name, replacement)
