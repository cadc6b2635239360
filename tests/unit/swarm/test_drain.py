"""Waiting for a drained node's tasks."""

from __future__ import annotations

import pytest

from infra.remote.machine import Machine
from infra.swarm.drain import AwaitTasks, await_tasks, parse_tasks
from infra.swarm.errors import SwarmError
from tests.fake_remote import FakeRunner

MANAGER = Machine(
    name="manager-1",
    role="manager",
    address="127.0.0.1",
    host_key="ssh-ed25519 AAAA",
    private_address="10.9.0.11",
)
RUNNING = "ready\nairflow_worker.3\tRunning 2 minutes ago\nairflow_redis.1\tShutdown 1 second ago\n"
ENDED = "ready\nairflow_worker.3\tShutdown less than a second ago\n"


def step(timeout: float = 30) -> AwaitTasks:
    return AwaitTasks(via=MANAGER, name="worker-2", node_id="id", timeout=timeout)


@pytest.mark.parametrize(
    ("text", "waits_for"),
    [
        (RUNNING, ["airflow_worker.3"]),
        (ENDED, []),
        ("ready\n", []),
        ("ready\na.1\tPreparing 1 second ago\nb.1\tFailed 1 second ago\n", ["a.1"]),
        ("ready\nc.1\tComplete 3 hours ago\nd.abc\tRejected 1 second ago\n", []),
    ],
)
def test_tasks_that_have_not_ended(text: str, waits_for: list[str]) -> None:
    assert parse_tasks(text) == ("ready", waits_for)


def test_it_waits_until_the_last_task_has_ended_and_prints_for_what() -> None:
    runner = FakeRunner(MANAGER).on("docker node ps", RUNNING, RUNNING, ENDED)
    lines: list[str] = []
    await_tasks(runner, step(), lines.append)
    assert len(runner.calls) == 3
    assert lines == ["worker-2: waiting for airflow_worker.3 to end (0 s)"]


def test_a_node_that_went_down_is_waited_for_no_longer() -> None:
    runner = FakeRunner(MANAGER).on("docker node ps", RUNNING, RUNNING.replace("ready", "down"))
    await_tasks(runner, step(), lambda _line: None)
    assert len(runner.calls) == 2


def test_after_the_timeout_it_names_the_tasks_and_stops_nothing() -> None:
    runner = FakeRunner(MANAGER).on("docker node ps", RUNNING)
    with pytest.raises(SwarmError, match=r"worker-2: drained, but airflow_worker\.3 still ran"):
        await_tasks(runner, step(timeout=0.3), lambda _line: None)
    assert all("docker node ps" in command for command in runner.commands)
