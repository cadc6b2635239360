"""A thread-safe rate limiter."""

from __future__ import annotations

import threading
import time

CONNECTIONS_PER_SECOND = 20
"""Default limit of a pool's connection attempts. Clouds and firewalls treat more as a flood; a pool
retries hosts that are booting."""


class RateLimit:
    """Rate limit for threads, with a fixed pause between any two of them.

    The pause applies after a late thread too, so that there is no burst afterwards.
    """

    def __init__(self, per_second: float) -> None:
        """Allow ``per_second`` threads per second."""
        self._pause = 1 / per_second
        self._turn = threading.Lock()
        self._next = time.monotonic()

    def wait(self) -> None:
        """Block until this thread may continue."""
        with self._turn:
            time.sleep(max(self._next - time.monotonic(), 0))
            self._next = time.monotonic() + self._pause


def shared_rate_limit(per_second: float) -> RateLimit:
    """Return this process's rate limit of ``per_second``, shared by all its callers."""
    with _lock:
        return _shared.setdefault(per_second, RateLimit(per_second))


_shared: dict[float, RateLimit] = {}
_lock = threading.Lock()
