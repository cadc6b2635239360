"""How far a machine's clock is from the operator's; no I/O.

A slow connection raises no false alarm: the machine reads its clock as a script begins and as it
ends, the operator before it is sent and after its answer has come. What lies outside is certain.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

LARGEST_DIFFERENCE_SECONDS = 5.0
"""Two machines then differ by at most 10 s, which is what the tokens of Airflow's tasks allow
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
        """The seconds that the machine's clock is ahead at least; negative if it is behind."""
        if self.ended > self.answered:
            return self.ended - self.answered
        return min(self.began - self.asked, 0.0)

    @property
    def is_wrong(self) -> bool:
        """Whether the two clocks differ by more than is allowed."""
        return abs(self.ahead) > LARGEST_DIFFERENCE_SECONDS

    @classmethod
    def read(
        cls, window: tuple[float, float] | None, began: str, ended: str
    ) -> ClockReading | None:
        """Read what ``date +%s.%N`` printed twice; None without it or without a ``window``.

        Raises:
            ValueError: it is not a number.

        """
        if window is None or not (began and ended):
            return None
        asked, answered = window
        return cls(asked=asked, began=float(began), ended=float(ended), answered=answered)


def difference(reading: ClockReading) -> tuple[str, str]:
    """Say how the clocks differ, and what to do about it."""
    ahead = reading.ahead
    theirs, ours = (
        (reading.ended, reading.answered) if ahead > 0 else (reading.began, reading.asked)
    )
    said = (
        f"its clock says {in_words(theirs)}, and this machine's {in_words(ours)}: it is"
        f" {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'} at least, and at most"
        f" {LARGEST_DIFFERENCE_SECONDS:.0f} s are allowed (certificates and the tasks' tokens"
        " carry times)"
    )
    advice = (
        "compare `date -u` on both, and correct the wrong one: `timedatectl set-ntp true` there, or"
        " this machine's clock if it differs from every host's"
    )
    return said, advice


def in_words(seconds: float) -> str:
    """Return a time as people read it; a number that is not a time is returned as it is."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return str(seconds)
