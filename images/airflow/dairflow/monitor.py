"""Flower's application: `celery --app dairflow.monitor flower`.

A Celery message carries the token with which its task may act on Airflow's API. Flower gets the
arguments in the workers' events and in their answers; here both lose them before they are stored,
so that no page and no part of the API has them. Passwords come from files, not the environment.
"""

from __future__ import annotations

import os
import time
from typing import Any
from urllib.parse import quote

import flower.app
from celery import Celery
from flower.events import Events
from flower.inspector import Inspector
from flower.options import options
from flower.urls import handlers
from flower.views.monitor import Metrics
from tornado.web import authenticated

from dairflow import secret_files

PRIVATE = frozenset(
    {"args", "kwargs", "argsrepr", "kwargsrepr", "result", "exception", "traceback"}
)
"""What a task was given and what it returned. Flower is for its state, times and worker."""


def without_private(value: Any) -> Any:  # noqa: ANN401 - what JSON can hold
    """Return a copy of ``value`` without the entries in `PRIVATE`, however deep."""
    match value:
        case dict():
            return {key: without_private(v) for key, v in value.items() if key not in PRIVATE}
        case list() | tuple():
            return [without_private(entry) for entry in value]
        case _:
            return value


class PrivateEvents(Events):
    """The workers' events, without what belongs to the task."""

    def on_event(self, event: dict[str, Any]) -> None:
        """Celery's receiver calls this for each event."""
        super().on_event(without_private(event))


class PrivateInspector(Inspector):
    """The workers' answers, without what belongs to the task."""

    def _on_update(self, workername: str, method: str, response: Any) -> None:  # noqa: ANN401
        super()._on_update(workername, method, without_private(response))

    async def _inspect_all(self, workername: str | None) -> None:
        """Ask all workers (None), and forget those that have left, as the pages do."""
        await super()._inspect_all(workername)
        if workername is None and options.purge_offline_workers is not None:
            oldest = time.time() - options.purge_offline_workers
            for name, info in list(self.workers.items()):
                if info["timestamp"] < oldest:
                    del self.workers[name]


class SignedInMetrics(Metrics):
    """``/metrics`` names every worker and task: it requires the login of all other pages."""

    @authenticated
    async def get(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Answer a request."""
        await super().get()


def secret(name: str) -> str:
    """Return a secret that Flower cannot do without.

    Raises:
        SystemExit: if it is missing or empty.

    """
    value = secret_files.read(name)
    if value is None:
        message = f"the secret {name} is missing in {secret_files.folder()}: Flower needs it"
        raise SystemExit(message)
    return value


address = os.environ.get("BROKER_ADDRESS", "redis:6379")
app = Celery(broker=f"redis://:{quote(secret('redis_password'), safe='')}@{address}/0")
options.basic_auth = [f"{os.environ.get('FLOWER_USER', 'admin')}:{secret('flower_password')}"]
flower.app.Events = PrivateEvents
flower.app.Inspector = PrivateInspector
handlers[:] = [
    (entry[0], SignedInMetrics) if isinstance(entry, tuple) and entry[1] is Metrics else entry
    for entry in handlers
]
