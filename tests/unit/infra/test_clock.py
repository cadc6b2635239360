"""How far a machine's clock is from the operator's, whatever the connection takes."""

from __future__ import annotations

import pytest

from infra.clock import LARGEST_DIFFERENCE_SECONDS, ClockReading, difference
from infra.machines.errors import HostError
from infra.machines.existing import host_check, hosts
from infra.remote.machine import Machine
from tests.fake_remote import FakePool, FakeRunner

NOON = 1795780800.0  # 2026-11-27 12:00 UTC


def reading(began: float, ended: float, answered: float) -> ClockReading:
    """Return a reading; the times count from the operator's request."""
    return ClockReading(
        asked=NOON, began=NOON + began, ended=NOON + ended, answered=NOON + answered
    )


@pytest.mark.parametrize(
    ("began", "ended", "answered", "ahead"),
    [
        (0.1, 0.2, 0.3, 0),
        (0.1, 30.2, 30.3, 0),
        (59, 59.2, 60, 0),  # the way there takes a minute
        (0.1, 0.2, 60, 0),  # the way back does
        (100, 101, 61, 40),
        (-40, -39, 0.3, -40),
        (-40, 60, 100, -40),
    ],
)
def test_only_what_is_certain_counts(
    began: float, ended: float, answered: float, ahead: float
) -> None:
    found = reading(began, ended, answered)
    assert found.ahead == ahead
    assert found.is_wrong is (abs(ahead) > LARGEST_DIFFERENCE_SECONDS)


def test_a_wrong_clock_is_reported_with_both_times_and_what_to_do() -> None:
    printed, advice = difference(reading(3700, 3701, 1))
    assert (
        "its clock is at 2026-11-27 13:01:41 UTC, and this machine's at 2026-11-27 12:00:01"
        in printed
    )
    assert "it is at least 3700 s ahead, and at most 5 s are allowed" in printed
    assert "timedatectl set-ntp true" in advice
    assert "3600 s behind" in difference(reading(-3600, -3599, 1))[0]


def test_nonsense_for_a_time_is_shown_as_it_is() -> None:
    printed, _ = difference(ClockReading(asked=NOON, began=1e300, ended=1e300, answered=NOON))
    assert "1e+300" in printed


@pytest.mark.parametrize(("shift", "refused"), [(0, False), (-86400, True), (86400, True)])
def test_the_clock_of_a_host_is_compared_before_it_is_touched(
    shift: float, monkeypatch: pytest.MonkeyPatch, *, refused: bool
) -> None:
    now = iter([NOON, NOON + 20])
    monkeypatch.setattr(hosts.time, "time", lambda: next(now))
    answer = f"began {NOON + shift + 9}\nended {NOON + shift + 10}\nid debian\nversion 13\n"

    def make(machine: Machine) -> FakeRunner:
        return FakeRunner(machine).on(host_check.SCRIPT[:30], answer)

    one = Machine(
        name="one",
        role="manager",
        address="10.0.0.1",
        host_key="ssh-ed25519 A",
        private_address="10.0.0.1",
    )
    with pytest.raises(HostError) as caught:  # the answer lacks all else
        hosts.inspect([one], FakePool(make), stack="s", adopt=False, manager_ports=[])
    assert ("its clock is at" in str(caught.value)) is refused
