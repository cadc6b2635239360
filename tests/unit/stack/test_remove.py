"""A removal against a manager that answers from a script."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra.remote.fake import FakeRunner
from infra.remote.runner import Completed
from infra.stack import remove as remove_module
from infra.stack.errors import StackError
from infra.stack.remove import remove

if TYPE_CHECKING:
    from infra.remote.machine import Machine

NOTHING = "-- services --"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remove_module, "POLL_SECONDS", 0)


def one_task(name: str) -> str:
    task = {
        "ID": "t1",
        "Name": name,
        "Image": "x",
        "Node": "worker-1",
        "DesiredState": "Remove",
        "CurrentState": "Running 3 seconds ago",
        "Error": "",
    }
    return f"{json.dumps(task)}\n{NOTHING}"


def manager_of(machine: Machine) -> FakeRunner:
    return (
        FakeRunner(machine)
        .on("docker stack rm", "")
        .on("docker network ls", "")
        .on("docker secret ls", "airflow_x_1\n")
        .on("docker secret rm", "")
        .on("docker stack ps", NOTHING)
    )


def test_nothing_to_remove_is_no_error(manager: Machine) -> None:
    lines: list[str] = []
    remove(manager_of(manager).on("docker secret ls", ""), "airflow", report=lines.append)
    assert lines == []


def test_it_waits_for_tasks_and_networks_on_every_node(manager: Machine) -> None:
    worker = FakeRunner(replace(manager, name="worker-1", role="worker"))
    worker.on("docker network ls", "network airflow_default\ncontainer x.1\n", "")
    runner = manager_of(manager)
    runner.on("docker stack ps", one_task("airflow_worker.1"), one_task("xyz.1"), NOTHING)
    lines: list[str] = []
    remove(runner, "airflow", nodes=[worker], report=lines.append)
    assert lines == [
        "being removed: worker.1 on worker-1",
        "being removed: network airflow_default on worker-1, container x.1 on worker-1",
    ]
    assert "airflow_x_1" in runner.commands[-1]


def test_tasks_that_outlive_the_grace_are_killed(manager: Machine) -> None:
    worker = FakeRunner(replace(manager, name="worker-1", role="worker"))
    worker.on("docker network ls", "").on("docker kill", "")
    runner = manager_of(manager)
    runner.on("docker stack ps", *[one_task("airflow_worker.1")] * 3, NOTHING)
    remove(runner, "airflow", nodes=[worker], grace=-1, report=lambda _: None)
    assert sum("docker kill" in command for command in worker.commands) == 1


def test_what_stays_is_named_when_the_wait_is_over(manager: Machine) -> None:
    runner = manager_of(manager).on("docker stack ps", one_task("airflow_worker.1"))
    with pytest.raises(StackError, match=r"worker\.1 on worker-1"):
        remove(runner, "airflow", timeout=-1, report=lambda _: None)


def test_volumes_go_only_when_asked(manager: Machine) -> None:
    worker = FakeRunner(replace(manager, name="worker-1", role="worker"))
    busy = Completed(stdout="", stderr="volume is in use", exit_status=1)
    worker.on("docker network ls", "").on("docker volume rm", busy, "")
    remove(manager_of(manager), "airflow", nodes=[worker], report=lambda _: None)
    assert not any("volume" in command for command in worker.commands)
    remove(manager_of(manager), "airflow", nodes=[worker], volumes=True, report=lambda _: None)
    assert sum("docker volume rm" in command for command in worker.commands) == 2
