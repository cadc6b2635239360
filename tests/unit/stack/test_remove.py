"""A removal against a manager that answers from a script."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra.remote.runner import Completed
from infra.stack import remove as remove_module
from infra.stack.errors import StackError
from infra.stack.remove import remove, remove_from
from tests.fake_remote import FakePool, FakeRunner

if TYPE_CHECKING:
    from infra.remote.machine import Machine

NOTHING = "-- tasks --"


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
    return f"{NOTHING}\n{json.dumps(task)}"


def manager_of(machine: Machine) -> FakeRunner:
    return (
        FakeRunner(machine)
        .on("docker stack rm", "")
        .on("docker network ls", "")
        .on("docker secret ls", "airflow_x_1\n")
        .on("docker secret rm", "")
        .on("docker config ls", "airflow_c_1\n")
        .on("docker config rm", "")
        .on("docker stack ps", NOTHING)
    )


def test_nothing_to_remove_is_not_an_error(manager: Machine) -> None:
    lines: list[str] = []
    remove(
        manager_of(manager).on("docker secret ls", "").on("docker config ls", ""),
        "airflow",
        report=lines.append,
    )
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
    assert "docker secret rm airflow_x_1" in runner.commands[-3]
    assert "docker config rm airflow_c_1" in runner.commands[-1]


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


CANNOT = Completed(stdout="", stderr="no leader", exit_status=1)


def three(manager: Machine) -> tuple[list[Machine], FakePool]:
    """Return two managers and a worker, of which each manager can act."""
    second = replace(manager, name="manager-2")
    worker = replace(manager, name="worker-1", role="worker")

    def make(machine: Machine) -> FakeRunner:
        runner = manager_of(machine).on("docker volume ls")
        return runner.on("docker node ls").on("docker secret ls", "").on("docker config ls", "")

    return [manager, second, worker], FakePool(make)


def test_another_manager_removes_the_stack_if_the_first_does_not_answer(
    manager: Machine,
) -> None:
    machines, pool = three(manager)
    pool.silent = {"manager-1"}
    lines: list[str] = []
    remove_from(machines, pool, "airflow", report=lines.append)
    assert lines == ["manager-1: the stack's data there stay for now: no answer"]
    commands = pool.runners["manager-2"].commands
    forgotten = next(n for n, c in enumerate(commands) if "dairflow.machine=manager-1" in c)
    assert "docker node demote" in commands[forgotten]
    assert any("docker stack rm airflow" in command for command in commands[forgotten:])


def test_without_a_manager_that_can_act_the_rest_goes_on(manager: Machine) -> None:
    machines, pool = three(manager)
    pool.silent = {"manager-1"}
    pool.runner(machines[1]).on("docker node ls", CANNOT)
    lines: list[str] = []
    remove_from(machines, pool, "airflow", report=lines.append)
    assert lines[1].startswith("no manager can act: the services are removed")
    assert not [c for r in pool.runners.values() for c in r.commands if "stack rm" in c]


def test_the_state_is_kept_if_no_manager_answers(manager: Machine) -> None:
    """It may be the operator's own network that is down."""
    machines, pool = three(manager)
    pool.silent = {machine.name for machine in machines}
    with pytest.raises(StackError, match=r"(?s)manager-1 .*worker-1 .*No machine answers"):
        remove_from(machines, pool, "airflow", report=pytest.fail)
