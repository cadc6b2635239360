"""How long a command may take: longer on a machine that has more to do than it can."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_EXTENSIONS = 9
"""A command gets ten times its limit at most."""
BUSY_LOAD = 2.0
"""The load average of a busy machine, for each processor (proc(5), ``/proc/loadavg``): what runs,
and what waits for a processor or a disk."""
LOAD = "cat /proc/loadavg && getconf _NPROCESSORS_ONLN"


class Deadline:
    """The end of a wait. When it is reached, a busy machine gets the same time again."""

    def __init__(
        self,
        seconds: float,
        is_busy: Callable[[], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start now. ``is_busy`` is called when ``seconds`` are over, and may take a while."""
        self._seconds = seconds
        self._is_busy = is_busy
        self._clock = clock
        self._begun = clock()
        self._end = self._begun + seconds
        self._extensions = 0

    def remaining(self) -> float:
        """Return the seconds that are left, more than 0.

        Raises:
            TimeoutError: none is left, and the machine is idle or has had enough of them.

        """
        while (left := self._end - self._clock()) <= 0:
            if self._extensions == MOST_EXTENSIONS or not self._is_busy():
                raise TimeoutError
            self._extensions += 1
            self._end = self._clock() + self._seconds
        return left

    def waited(self) -> str:
        """Return how long the wait was, in words of an error."""
        seconds = f"{self._clock() - self._begun:.0f} s"
        return f"{seconds}, on a machine that is overloaded" if self._extensions else seconds


def is_overloaded(answer: str) -> bool:
    """Return what the answer to `LOAD` says; False for what is not one."""
    words = answer.split()
    try:
        return float(words[0]) >= BUSY_LOAD * int(words[-1])
    except (IndexError, ValueError):
        return False
