"""A scheduler whose pause ends when a task has ended.

Airflow's scheduler looks for work, and when a look finds none, it pauses for ``[scheduler]
scheduler_idle_sleep_time``. A task's successor waits for the next look. A short pause makes chains
of tasks fast, and costs a tenth of a core when nothing runs. Here the pause ends early: a worker
stores the result of each task in Redis, and Celery's backend publishes that
(``RedisBackend._set``). At that moment the task's state is in Airflow's database.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from airflow.jobs import scheduler_job_runner
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from celery import Celery
    from redis.client import PubSub

LEAST_PAUSE_SECONDS = 0.05
"""Whatever is published, so that a task that publishes all the time does not keep it busy."""

MOST_RESULTS = 1_000
"""How many are read after a pause, for the same reason."""

log = logging.getLogger(__name__)


class Clock:
    """Replaces the module ``time`` in the scheduler's: ``sleep`` is the pause after a look."""

    def __init__(self, app: Celery) -> None:
        """Connect at the first pause; ``app`` has the result backend."""
        self._app = app
        self._results: PubSub | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the module's own
        """Return everything else of ``time``."""
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        """Wait for a result, ``seconds`` at most; without Redis, for ``seconds``."""
        end = time.monotonic() + seconds
        time.sleep(min(seconds, LEAST_PAUSE_SECONDS))
        try:
            self._wait(end)
        except (RedisError, OSError) as error:
            log.warning("No results are published now, so the pause is whole: %s", error)
            self._results = None
            time.sleep(max(end - time.monotonic(), 0))

    def _wait(self, end: float) -> None:
        results = self._results = self._results or self._subscribe()
        while (left := end - time.monotonic()) > 0:
            if results.get_message(ignore_subscribe_messages=True, timeout=left):
                break
        for _ in range(MOST_RESULTS):  # the next look sees them all
            if not results.get_message(ignore_subscribe_messages=True, timeout=0):
                break

    def _subscribe(self) -> PubSub:
        backend: Any = self._app.backend
        results: PubSub = backend.client.pubsub()
        results.psubscribe(backend.get_key_for_task("*"))
        return results


def install() -> None:
    """Change the scheduler's pause.

    Raises:
        AttributeError: if this Airflow's scheduler has no such pause. Then the image's build fails.

    """
    from airflow.providers.celery.executors.celery_executor_utils import app

    scheduler: Any = scheduler_job_runner
    if scheduler.time is not time:
        msg = "Airflow's scheduler does not pause by `time.sleep` any more: see what replaces it"
        raise AttributeError(msg)
    scheduler.time = Clock(app)
