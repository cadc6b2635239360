"""Which messages the scheduler finds in the broker beside what a task may have written there."""

from __future__ import annotations

import json
from typing import Any

import broker
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

MESSAGE = json.dumps({"headers": {"id": "a message"}}).encode()
ENTRIES = [
    *(b"x", b"5", b"[]", b"null", b"{}", b'"id"', b"\xff", b"[" * 100_000),
    *(b'{"headers": []}', b'{"headers": {}}', b'{"headers": {"id": [1]}}'),
    *(b"[5]", b"[[]]", b'[{"headers": 5}]', b'[{"headers": {"id": null}}]'),
]


class Client:
    """A Redis with these values."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def lrange(self, key: str, _first: int, _last: int) -> list[bytes]:
        return self._value(key, list)

    def hvals(self, key: str) -> list[bytes]:
        return list(self._value(key, dict).values())

    def _value(self, key: str, kind: type) -> Any:
        value = self._values.get(key, kind())
        if isinstance(value, Exception):
            raise value
        if not isinstance(value, kind):
            msg = "WRONGTYPE Operation against a key holding the wrong kind of value"
            raise ResponseError(msg)
        return value


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_that_is_not_a_message_is_skipped(entry: bytes) -> None:
    client = Client({"q": [entry, MESSAGE], "unacked": {b"1": entry, b"2": b"[" + MESSAGE + b"]"}})
    assert broker.waiting(client, {"q", None}) == {"a message"}
    assert broker.taken(client) == {"a message"}


def test_a_key_of_another_type_has_no_messages() -> None:
    client = Client({"q": b"text", "unacked": [MESSAGE], "other": [MESSAGE]})
    assert broker.waiting(client, ["q", "other"]) == {"a message"}
    assert broker.taken(client) == set()


def test_a_broker_that_does_not_answer_is_the_callers_matter() -> None:
    client = Client({"q": RedisConnectionError(), "unacked": RedisConnectionError()})
    with pytest.raises(RedisConnectionError):
        broker.waiting(client, ["q"])
    with pytest.raises(RedisConnectionError):
        broker.taken(client)
