"""The loop that waits for a state: check, pause, check again, until the time is over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_GROWTH = 1.5


def attempts(seconds: float, *, first: float, longest: float | None = None) -> Iterator[float]:
    """Yield before each check how long the wait has taken (seconds), for ``seconds``.

    The pauses grow from ``first`` to ``longest`` seconds. The last check begins when ``seconds``
    have passed, so that a state that is reached during the last pause is seen. Leave the loop when
    the state is reached; its ``else`` is for the error.
    """
    begun = time.monotonic()
    pause, longest = first, max(first, longest or first)
    waited = 0.0
    while True:
        yield waited
        if waited >= seconds:
            return
        time.sleep(min(pause, seconds - waited))
        pause = min(pause * _GROWTH, longest)
        waited = time.monotonic() - begun
