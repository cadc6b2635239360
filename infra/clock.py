"""Computes the difference between a machine's clock and the operator's; no I/O.

A slow connection does not cause a false alarm: the machine reads its clock at the beginning and the
end of a script, the operator before the request and after the answer. A time outside of that window
is certainly wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

LARGEST_DIFFERENCE_SECONDS = 5.0
"""Two machines then differ by at most 10 s, the leeway of the tokens of Airflow's tasks
(``[api_auth] jwt_leeway``)."""


@dataclass(frozen=True, kw_only=True)
class ClockReading:
    """One exchange, in seconds since 1970: ``asked`` and ``answered`` are the operator's clock."""

    asked: float
    began: float
    ended: float
    answered: float

    @property
    def ahead(self) -> float:
        """The minimum by which the machine's clock is ahead (seconds); negative if it is behind."""
        if self.ended > self.answered:
            return self.ended - self.answered
        return min(self.began - self.asked, 0.0)

    @property
    def is_wrong(self) -> bool:
        """Whether the two clocks differ by more than the allowed difference."""
        return abs(self.ahead) > LARGEST_DIFFERENCE_SECONDS

    @classmethod
    def read(
        cls, window: tuple[float, float] | None, began: str, ended: str
    ) -> ClockReading | None:
        """Parse two outputs of ``date +%s.%N``; None without them or without a ``window``.

        Raises:
            ValueError: if an output is not a number.

        """
        if window is None or not (began and ended):
            return None
        asked, answered = window
        return cls(asked=asked, began=float(began), ended=float(ended), answered=answered)


def difference(reading: ClockReading) -> tuple[str, str]:
    """Describe how the clocks differ, and the next step."""
    ahead = reading.ahead
    theirs, ours = (
        (reading.ended, reading.answered) if ahead > 0 else (reading.began, reading.asked)
    )
    problem = (
        f"its clock is at {in_words(theirs)}, and this machine's at {in_words(ours)}: it is at"
        f" least {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}, and at most"
        f" {LARGEST_DIFFERENCE_SECONDS:.0f} s are allowed (certificates and the tasks' tokens"
        " depend on time)"
    )
    advice = (
        "compare `date -u` on both, and fix the wrong one: `timedatectl set-ntp true` there, or"
        " this machine's clock if it differs from every host's"
    )
    return problem, advice


def in_words(seconds: float) -> str:
    """Return a time as text; a number that is not a time is returned unchanged."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return str(seconds)
