"""What the image's worker changes in Airflow, on Airflow's own supervisor of a task."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import worker
from airflow.sdk.execution_time import supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

SLEEP_OF_A_SUPERVISOR_SECONDS = 5
"""``[workers] min_heartbeat_interval``: what a supervisor sleeps if nothing wakes it."""


def ends_after_its_sockets() -> None:
    """Close everything, and end a moment later, as a process that has much to clean up does."""
    os.closerange(0, 256)
    time.sleep(0.3)
    os._exit(0)


def ends_at_once() -> None:
    os._exit(3)


@pytest.fixture
def shorter_sleep(monkeypatch: pytest.MonkeyPatch) -> float:
    """Shorten the sleep of a supervisor that nothing wakes; return its seconds."""
    assert supervisor.MIN_HEARTBEAT_INTERVAL == SLEEP_OF_A_SUPERVISOR_SECONDS
    monkeypatch.setattr(supervisor, "MIN_HEARTBEAT_INTERVAL", 1.5)
    return 1.5


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> None:
    original = supervisor.ActivitySubprocess._monitor_subprocess
    monkeypatch.setattr(supervisor.ActivitySubprocess, "_monitor_subprocess", original)
    worker.free_slots_in_time()


def supervise(target: Callable[[], None]) -> tuple[float, int]:
    """Start a process as a task's is; return its supervisor's seconds and its exit code."""
    no_api = SimpleNamespace(task_instances=SimpleNamespace(heartbeat=lambda *_, **__: None))
    start: Any = supervisor.WatchedSubprocess.start
    process = start.__func__(
        supervisor.ActivitySubprocess, id=uuid.uuid4(), client=no_api, target=target
    )
    started = time.monotonic()
    process._monitor_subprocess()
    seconds = time.monotonic() - started
    assert not process.selector.get_map(), "nothing is watched any more"
    process.selector.close()
    return seconds, process._exit_code


def test_without_the_change_a_slot_is_held_until_the_next_heartbeat(shorter_sleep: float) -> None:
    """If this fails, Airflow has solved it: remove ``free_slots_in_time``."""
    seconds, _ = supervise(ends_after_its_sockets)
    assert seconds > shorter_sleep - 0.1


@pytest.mark.usefixtures("patched")
@pytest.mark.parametrize(("target", "code"), [(ends_after_its_sockets, 0), (ends_at_once, 3)])
def test_a_slot_is_free_when_its_process_ends(target: Callable[[], None], code: int) -> None:
    seconds, exit_code = supervise(target)
    assert seconds < SLEEP_OF_A_SUPERVISOR_SECONDS - 1
    assert exit_code == code


@pytest.mark.usefixtures("patched", "shorter_sleep")
@pytest.mark.parametrize("error", [OSError("no such system call"), AttributeError("pidfd_open")])
def test_a_task_ends_without_process_descriptors(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(_: int) -> int:
        raise error

    monkeypatch.setattr(worker, "os", SimpleNamespace(pidfd_open=refuse))
    assert supervise(ends_at_once)[1] == 3


@pytest.mark.usefixtures("patched")
def test_no_descriptor_is_left_behind() -> None:
    for target in (ends_at_once, ends_after_its_sockets):
        supervise(target)
    assert process_descriptors() == []


def process_descriptors() -> list[str]:
    """Return this process's descriptors of other processes, which Linux calls pidfd."""
    links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.exists()]
    return [link for link in links if "pidfd" in link]


def test_what_every_task_imports_is_there() -> None:
    worker.import_early()
