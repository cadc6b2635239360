"""Celery's results, in the broker's Redis, as a few words of JSON.

A worker's tasks can write what the scheduler reads here. So what is read is data: no class is
looked up, no exception is rebuilt, and a value that is too long, of another type or not one of
Celery's states counts as a failure of its own task. Airflow reads nothing but the state.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, NoReturn, cast
from urllib.parse import urlsplit

from celery import states
from celery.backends.redis import RedisBackend
from redis.exceptions import RedisError, ResponseError

if TYPE_CHECKING:
    from collections.abc import Sequence

DATABASE = 1
"""The broker's queues are in 0."""

EXPIRES_SECONDS = 86_400
"""The scheduler polls every few seconds; a day outlasts any outage that Airflow itself survives."""

MAX_BYTES = 4_096
"""A record of this module has some 200 bytes."""

SOCKET_TIMEOUT_SECONDS = 5.0
RETRY_PAUSE_MILLISECONDS = 2_000

log = logging.getLogger(__name__)


class MalformedResultError(ValueError):
    """A stored value is not a record of this module."""


class RedisResults(RedisBackend):
    """A result backend, named in ``[celery] result_backend``; its address is the broker's."""

    def __init__(self, *args: object, **options: Any) -> None:  # noqa: ANN401 - Celery's
        """Connect to the broker's server, whatever the URL of the setting says."""
        broker = urlsplit(options["app"].conf.broker_url)
        options |= {
            "url": broker._replace(path=f"/{DATABASE}").geturl(),
            "serializer": "json",
            "accept": ["json"],
            "expires": EXPIRES_SECONDS,
        }
        super().__init__(*args, **options)
        self.connparams |= {
            "socket_timeout": SOCKET_TIMEOUT_SECONDS,
            "socket_connect_timeout": SOCKET_TIMEOUT_SECONDS,
            "socket_keepalive": True,
        }
        # A worker that cannot store a result would drop the message of its next task.
        self.always_retry = True
        self.max_sleep_between_retries_ms = RETRY_PAUSE_MILLISECONDS

    def on_task_call(self, producer: object, task_id: str) -> None:
        """Subscribe to nothing: Airflow polls, so that notifications would pile up unread."""

    def encode_result(self, result: object, state: str) -> None:
        """Store no value, no exception and no traceback: they are in the task's own log."""

    def exception_to_python(self, exc: object) -> None:
        """Rebuild no exception."""

    def meta_from_decoded(self, meta: dict[str, Any]) -> dict[str, Any]:
        """Return the record as it is: there is no exception in it to rebuild."""
        return meta

    def decode_result(self, payload: bytes | str) -> dict[str, Any]:
        """Return a record; for a value that is none, one that says that the task failed."""
        try:
            return _parse(payload)
        except MalformedResultError as problem:
            log.warning("A Celery result is malformed and counts as failed: %s", problem)
            return _record("", states.FAILURE)

    def get(self, key: bytes) -> bytes | None:
        """Read one record."""
        return self._read([key])[0]

    def mget(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read records: none while Redis is unreachable, so that the scheduler polls again."""
        try:
            return self._read(keys)
        except (*self.connection_errors, RedisError) as problem:
            log.warning("Celery's results cannot be read now: %s", problem)
            return [None for _ in keys]

    def get_task_meta(self, task_id: str, cache: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - Celery's
        """Return one task's record; do not wait for a Redis that is unreachable."""
        del cache
        try:
            return cast("dict[str, Any]", self._get_task_meta_for(task_id))
        except (*self.connection_errors, RedisError) as problem:
            log.warning("Celery's results cannot be read now: %s", problem)
            return _record(task_id, states.PENDING)

    def _read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read at most `MAX_BYTES` of each value, so that no value can fill the memory."""
        with self.client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.getrange(key, 0, MAX_BYTES)
            answers = pipe.execute(raise_on_error=False)
        return [self._checked(key, answer) for key, answer in zip(keys, answers, strict=True)]

    def _checked(self, key: bytes, answer: bytes | Exception) -> bytes | None:
        """Return the record in Redis' answer as that of the task that ``key`` names."""
        task_id = self._strip_prefix(key)
        if isinstance(answer, Exception) and not _is_wrong_type(answer):
            raise answer
        if answer == b"":
            return None
        try:
            record = _record(task_id, _parse(answer)["status"])
        except MalformedResultError as problem:
            log.warning(
                "The result of %s is malformed and counts as a failure: %s", task_id, problem
            )
            record = _record(task_id, states.FAILURE)
        return json.dumps(record).encode()

    def _get_result_meta(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, result: object, state: str, traceback: object, request: object, **options: object
    ) -> dict[str, Any]:
        del result, traceback, request, options
        return _record("", state)


def _is_wrong_type(answer: Exception) -> bool:
    return isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE")


def _record(task_id: str, state: str) -> dict[str, Any]:
    """Return what Celery and Airflow expect of a result, with the state alone filled in."""
    return {
        "task_id": task_id,
        "status": state,
        "result": None,
        "traceback": None,
        "children": [],
    }


def _parse(payload: object) -> dict[str, Any]:
    """Return a record with nothing in it but a task's ID and one of Celery's states.

    Raises:
        MalformedResultError: for everything else; the text shows the start of the value.

    """
    if not isinstance(payload, bytes | str):
        _refuse(payload, "not a text")
    if len(payload) > MAX_BYTES:
        _refuse(payload, f"longer than {MAX_BYTES} bytes")
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        _refuse(payload, "not JSON")
    if not isinstance(found, dict):
        _refuse(payload, "not an object")
    task_id, state = found.get("task_id"), found.get("status")
    if not isinstance(task_id, str):
        _refuse(payload, "task_id is not a text")
    if not isinstance(state, str) or state not in states.ALL_STATES:
        _refuse(payload, "status is not one of Celery's states")
    return _record(task_id, state)


def _refuse(payload: object, reason: str) -> NoReturn:
    shown = payload[:60] if isinstance(payload, bytes | str) else type(payload).__name__
    message = f"{reason}: {shown!r}"
    raise MalformedResultError(message)
