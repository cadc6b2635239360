"""A bound on how often something happens, whoever asks for it."""

from __future__ import annotations

import threading
import time

CONNECTIONS_PER_SECOND = 20
"""Attempts to connect that a pool makes unless it is told another number. Clouds and firewalls take
more for a flood; hosts that boot are tried again and again."""


class Pace:
    """Lets threads pass one at a time, with a fixed pause between any two of them.

    The pause is kept after a thread was late as well: time that was lost is not made up for in a
    burst.
    """

    def __init__(self, per_second: float) -> None:
        """At most ``per_second`` pass in any second."""
        self._pause = 1 / per_second
        self._turn = threading.Lock()
        self._next = time.monotonic()

    def wait(self) -> None:
        """Return when it is this thread's turn."""
        with self._turn:
            time.sleep(max(self._next - time.monotonic(), 0))
            self._next = time.monotonic() + self._pause


def shared_pace(per_second: float) -> Pace:
    """Return this process's pace of ``per_second``: whoever asks for the same shares its turns."""
    with _lock:
        return _shared.setdefault(per_second, Pace(per_second))


_shared: dict[float, Pace] = {}
_lock = threading.Lock()
