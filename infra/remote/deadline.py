"""Time limit of a command, extended on an overloaded machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_EXTENSIONS = 9
"""A command gets at most ten times its limit."""
BUSY_LOAD = 2.0
"""The load average of a busy machine, for each processor (proc(5), ``/proc/loadavg``): processes
that run, or wait for a processor or a disk."""
LOAD = "cat /proc/loadavg && getconf _NPROCESSORS_ONLN"


class Deadline:
    """Deadline of a wait, extended by the same time if the machine is busy."""

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
            TimeoutError: if none is left, and the machine is idle or has had all extensions.

        """
        while (left := self._end - self._clock()) <= 0:
            if self._extensions == MOST_EXTENSIONS or not self._is_busy():
                raise TimeoutError
            self._extensions += 1
            self._end = self._clock() + self._seconds
        return left

    def waited(self) -> str:
        """Return the duration of the wait as text for an error."""
        seconds = f"{self._clock() - self._begun:.0f} s"
        return f"{seconds}, on a machine that is overloaded" if self._extensions else seconds


def is_overloaded(answer: str) -> bool:
    """Return whether the answer to `LOAD` shows an overloaded machine; False if it is invalid."""
    words = answer.split()
    try:
        return float(words[0]) >= BUSY_LOAD * int(words[-1])
    except (IndexError, ValueError):
        return False
