"""How much time a command gets on a machine that is idle, or has more to do than it can."""

from __future__ import annotations

import pytest

from infra.remote.deadline import Deadline, is_overloaded


class Machine:
    """A clock, and what the machine is at each check: busy or idle."""

    def __init__(self, *states: str) -> None:
        self.now = 100.0
        self._states = list(states)
        self.deadline = Deadline(60, self._is_busy, clock=lambda: self.now)

    def _is_busy(self) -> bool:
        self.now += 5  # the answer takes a while
        return self._states.pop(0) == "busy"

    def remaining_after(self, seconds: float) -> float:
        self.now += seconds
        return self.deadline.remaining()


def test_an_idle_machine_has_the_limit() -> None:
    machine = Machine("idle")
    assert machine.remaining_after(59) == 1
    with pytest.raises(TimeoutError):
        machine.remaining_after(1)
    assert machine.deadline.waited() == "65 s"


def test_a_busy_machine_gets_the_same_time_again_from_its_answer_on() -> None:
    machine = Machine("busy", "busy", "idle")
    assert machine.remaining_after(60) == 60
    assert machine.remaining_after(59) == 1
    assert machine.remaining_after(2) == 60
    with pytest.raises(TimeoutError):
        machine.remaining_after(60)
    assert "overloaded" in machine.deadline.waited()


def test_a_command_that_hangs_is_given_up_in_the_end() -> None:
    machine = Machine(*["busy"] * 100)
    for _ in range(9):
        machine.remaining_after(60)
    with pytest.raises(TimeoutError):
        machine.remaining_after(60)


@pytest.mark.parametrize(
    ("answer", "overloaded"),
    [
        ("30.13 12.00 9.00 5/900 12345\n2\n", True),
        ("4.00 1.00 1.00 1/900 12345\n2\n", True),
        ("3.99 9.00 9.00 1/900 12345\n2\n", False),
        ("30.13 12.00 9.00 5/900 12345\n64\n", False),
        ("", False),
        ("cat: /proc/loadavg: No such file or directory", False),
    ],
)
def test_the_load_is_compared_with_the_processors(answer: str, *, overloaded: bool) -> None:
    assert is_overloaded(answer) is overloaded
