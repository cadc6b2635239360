"""The order in which the nodes of a local stack get the newest engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tools import update_nodes
from tools.update_nodes import Tools, UpdateError, update

if TYPE_CHECKING:
    from collections.abc import Sequence

OUTPUTS = {
    "clone": "here",
    "managerSsh": "ssh -F '/a folder/ssh_config' manager-1",
    "nodes": [
        {"name": name, "role": name.partition("-")[0], "address": "10.0.0.1"}
        for name in ("manager-1", "manager-2", "manager-3", "worker-1", "worker-2")
    ],
}


class Machine:
    """Answers as Docker, the manager and Pulumi do; `log` has what changes something."""

    def __init__(self) -> None:
        self.images = {f"dairflow-local-{node['name']}": "old" for node in OUTPUTS["nodes"]}
        self.answers = [
            "ready\nairflow_worker.1\tRunning 3 minutes ago\nother.1\tShutdown 1 second ago",
            "ready",
        ]
        self.log: list[str] = []
        self.status = 0

    def ask(self, command: Sequence[str]) -> str:
        if command[:2] == ("docker", "ps"):
            return self.images[command[4].removeprefix("name=^").removesuffix("$")]
        if command[:2] == ("docker", "rm"):
            self.log.append(f"rm {command[-1]}")
            return ""
        assert list(command[:4]) == ["ssh", "-F", "/a folder/ssh_config", "manager-1"]
        if "node ps" in command[-1]:
            self.log.append("look")
            return self.answers.pop(0) if self.answers else "ready"
        self.log.append(command[-1])
        return ""

    def run(self, command: Sequence[str]) -> int:
        self.log.append(" ".join(command[:2]))
        assert "--refresh" in command
        for removed in (line.removeprefix("rm ") for line in self.log if line.startswith("rm ")):
            self.images[removed] = "new"
        return self.status

    def tools(self, said: list[str]) -> Tools:
        return Tools(ask=self.ask, run=self.run, say=said.append)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update_nodes, "PAUSE_SECONDS", 0.0)


def test_a_worker_is_drained_and_waited_for_and_the_first_manager_is_last() -> None:
    machine, said = Machine(), list[str]()
    machine.images["dairflow-local-worker-1"] = "new"
    assert update("local", OUTPUTS, "new", machine.tools(said)) == 0
    assert machine.log == [
        "docker node update --availability drain worker-2", "look", "look",
        "rm dairflow-local-worker-2", "pulumi up",
        "rm dairflow-local-manager-3", "pulumi up",
        "rm dairflow-local-manager-2", "pulumi up",
        "rm dairflow-local-manager-1", "pulumi up",
    ]  # fmt: skip
    assert "worker-2: waits for airflow_worker.1 to end" in said
    assert "airflow_worker.1" not in "".join(said).replace("waits for airflow_worker.1", "")


def test_a_deployment_that_fails_ends_the_update_and_the_next_one_continues() -> None:
    machine = Machine()
    machine.status = 255
    assert update("local", OUTPUTS, "new", machine.tools([])) == 255
    assert [line for line in machine.log if line.startswith("rm")] == ["rm dairflow-local-worker-1"]
    machine.status = 0
    machine.log.clear()
    assert update("local", OUTPUTS, "new", machine.tools([])) == 0
    assert "rm dairflow-local-worker-1" not in machine.log
    assert "rm dairflow-local-worker-2" in machine.log


def test_a_container_that_is_gone_needs_no_drain() -> None:
    machine = Machine()
    machine.images["dairflow-local-worker-1"] = ""
    update("local", OUTPUTS, "new", machine.tools([]))
    assert machine.log[:2] == ["pulumi up", "docker node update --availability drain worker-2"]


def test_nodes_that_are_up_to_date_are_left_alone_and_a_drain_ends() -> None:
    machine, said = Machine(), list[str]()
    machine.images = dict.fromkeys(machine.images, "new")
    assert update("local", OUTPUTS, "new", machine.tools(said)) == 0
    assert machine.log == ["pulumi up"]
    assert said == ["Every node has the engine of new."]


def test_other_machines_are_left_alone() -> None:
    outputs: dict[str, Any] = {key: value for key, value in OUTPUTS.items() if key != "clone"}
    with pytest.raises(UpdateError, match="not one of target local"):
        update("cloud", outputs, "new", Machine().tools([]))
