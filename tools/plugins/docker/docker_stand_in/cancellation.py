"""Ending work in flight: the engine's Cancel closes the connections that the work waits on.

Docker's engine stops a build or a push, and removes a build's container, once the connection that
asked for it is closed.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import weakref
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

_CHUNK_BYTES = 1 << 20


class Cancelled(Exception):  # noqa: N818 - not an error: the user asked for it
    """The engine asked for work in flight to end."""


class Cancellation:
    """Set once, by the engine; from then on no work begins or continues."""

    def __init__(self) -> None:
        """Begin with nothing to end."""
        self._asked = threading.Event()
        self._lock = threading.Lock()
        self._responses: weakref.WeakSet[requests.Response] = weakref.WeakSet()

    def cancel(self) -> None:
        """End the work: close every connection that is watched."""
        self._asked.set()
        with self._lock:
            for response in list(self._responses):
                _hang_up(response)

    def watch(self, response: requests.Response, *_: object, **__: object) -> None:
        """Remember a response, so that it can be ended (a hook for ``requests``)."""
        with self._lock:
            self._responses.add(response)
            if self._asked.is_set():
                _hang_up(response)

    def check(self) -> None:
        """Raise Cancelled if the engine has asked."""
        if self._asked.is_set():
            raise Cancelled

    @property
    def asked(self) -> bool:
        """Whether the engine has asked."""
        return self._asked.is_set()

    def chunks(self, content: IO[bytes]) -> Iterator[bytes]:
        """Yield the content in pieces, for as long as nobody cancels."""
        while chunk := content.read(_CHUNK_BYTES):
            self.check()
            yield chunk


def _hang_up(response: requests.Response) -> None:
    connection = response.raw.connection
    if connection is not None and connection.sock is not None:
        with contextlib.suppress(OSError):  # already closed by the other side
            connection.sock.shutdown(socket.SHUT_RDWR)
