"""The loop that waits."""

from __future__ import annotations

import pytest

from infra.remote import wait


class Clock:
    """A clock that only pauses move."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(wait, "time", clock)
    return clock


def test_pauses_grow_to_the_longest_and_the_last_check_is_after_the_end(clock: Clock) -> None:
    seen = list(wait.attempts(10, first=1, longest=3))
    assert clock.pauses == [1, 1.5, 2.25, 3, 2.25]
    assert seen == [0, 1, 2.5, 4.75, 7.75, 10]


def test_a_state_that_is_there_takes_no_pause(clock: Clock) -> None:
    for _ in wait.attempts(10, first=1):
        break
    assert clock.pauses == []


def test_a_wait_without_time_left_checks_once(clock: Clock) -> None:
    assert list(wait.attempts(-1, first=1)) == [0]
    assert clock.pauses == []


def test_a_state_that_is_reached_in_the_last_pause_is_seen(clock: Clock) -> None:
    for _ in wait.attempts(3, first=2):
        if clock.now >= 103:
            break
    else:
        pytest.fail("the last check was before the end")
