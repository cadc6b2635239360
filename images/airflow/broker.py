"""Which tasks' messages are in the broker, whatever else is there.

A task of a DAG reaches Redis with its worker's password and can write anything there. What is not a
message of Celery's, or is under a name of Kombu's with another type, counts as no message.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

UNACKNOWLEDGED = "unacked"
"""Kombu's hash of the messages that workers have taken: tag → message, exchange, routing key."""

_log = logging.getLogger(__name__)


def waiting(client: Any, queues: Iterable[str | None]) -> set[str]:  # noqa: ANN401 - Redis's own
    """Return the Celery IDs of the messages in the queues, which no worker has received.

    Raises:
        redis.exceptions.ConnectionError: the broker does not answer.

    """

    def first_to_last(queue: str) -> Iterable[bytes]:
        return client.lrange(queue, 0, -1)

    texts = (text for queue in queues if queue for text in _read(queue, first_to_last))
    return set(_ids(_json(text) for text in texts))


def taken(client: Any) -> set[str]:  # noqa: ANN401 - Redis's own
    """Return the Celery IDs of the messages that a worker has received and not acknowledged.

    Raises:
        redis.exceptions.ConnectionError: the broker does not answer.

    """
    entries = (_json(text) for text in _read(UNACKNOWLEDGED, client.hvals))
    return set(_ids(entry[0] for entry in entries if isinstance(entry, list) and entry))


def _read(key: str, read: Callable[[str], Iterable[bytes]]) -> Iterable[bytes]:
    try:
        return read(key)
    except ResponseError as error:
        _log.warning("the broker's %r is not what Celery writes: %s", key, error)
        return ()


def _json(text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _ids(messages: Iterable[object]) -> Iterator[str]:
    for message in messages:
        headers = message.get("headers") if isinstance(message, dict) else None
        identity = headers.get("id") if isinstance(headers, dict) else None
        if isinstance(identity, str):
            yield identity
        else:
            _log.warning("the broker has an entry that is not a message of Celery's")
