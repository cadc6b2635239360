"""What the services reserve against what machines have: loads in, problems out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from infra.stack.memory import MachineMemory, Needs, needs, problems, problems_of_one
from infra.stack.render import prepared

if TYPE_CHECKING:
    from infra.stack.options import StackOptions

Compose = dict[str, Any]
GIB = 1024**3


def needed(compose: Compose, options: StackOptions, **changes: Any) -> Needs:
    return needs(prepared(compose, replace(options, **changes)).loads, "512m")


def machines(name: str, gib: float, count: int = 1) -> list[MachineMemory]:
    return [MachineMemory(name=name, size=int(gib * GIB), count=count)]


def test_the_default_cluster_fits_the_smallest_machine_of_the_docs(
    compose: Compose, options: StackOptions
) -> None:
    default = needed(compose, options)
    assert list(problems_of_one(default, machines("this machine", 5.6)[0])) == []
    assert list(problems(default, machines("m", 4), machines("w", 2, count=2))) == []


def test_each_machine_has_to_have_its_share(compose: Compose, options: StackOptions) -> None:
    many = needed(compose, options, workers_per_node=16)
    (found,) = problems(many, machines("m", 8), machines("w1", 4) + machines("w2", 8))
    assert found == (
        "w1: the services reserve 4.0 GiB (worker 16 x 256 MiB) there, and it has 4.0 GiB, of"
        " which the system takes 0.5 GiB.\nNext: fewer workersPerNode, or a machine with more"
        " memory; or lower the reservations in docker-compose.yaml"
    )


def test_the_first_manager_has_what_the_others_need_not(
    compose: Compose, options: StackOptions
) -> None:
    three = needed(compose, options, managers=3)
    assert not any(part.service == "scheduler" for part in three.first_manager)
    assert {part.service for part in three.each_manager} == {"web", "api-server", "log-store"}
    small, large = machines("small", 1.25), machines("large", 8)
    assert list(problems(three, large + small + small, machines("w", 2, count=2))) == []
    (found,) = problems(three, small + large + large, machines("w", 2, count=2))
    assert found.startswith("small: the services reserve 0.9 GiB (api-server 2 x 256 MiB, postgres")
    tiny = machines("tiny", 1)
    (found,) = problems(three, large + tiny + large, machines("w", 2, count=2))
    assert found.startswith("tiny: the services reserve 0.5 GiB (api-server 2 x 256 MiB, web")


def test_all_machines_of_a_role_together_have_room(compose: Compose, options: StackOptions) -> None:
    three = needed(compose, options, managers=3)
    compose["services"]["scheduler"]["deploy"]["resources"] = {
        kind: {"memory": "20g"} for kind in ("reservations", "limits")
    }
    huge = needed(compose, options, managers=3)
    equal = machines("m", 4, count=3)
    assert list(problems(three, equal, machines("w", 2, count=2))) == []
    (found,) = problems(huge, equal, machines("w", 2, count=2))
    assert found.startswith("all managers together: the services reserve 21.8 GiB (scheduler")
    assert "and the machines have 10.5 GiB, without 0.5 GiB on each for the system." in found


def test_one_machine_has_to_carry_all_nodes(compose: Compose, options: StackOptions) -> None:
    many = needed(compose, options, worker_nodes=50)
    (found,) = problems_of_one(many, machines("this machine", 8)[0])
    assert "the services reserve 13.9 GiB (worker 50 x 256 MiB, api-server 2 x 256 MiB," in found
    assert "it has 8.0 GiB, of which the system takes 0.5 GiB.\nNext: fewer workers" in found


def test_a_task_may_not_take_more_than_a_machine_has(
    compose: Compose, options: StackOptions
) -> None:
    greedy = needs(prepared(compose, options).loads, "100000g")
    (found,) = problems(greedy, machines("m", 8), machines("w", 4, count=2))
    assert found.startswith("w: a task may take 100,000.0 GiB (taskMemory), and it has 4.0 GiB")
    assert len(list(problems_of_one(greedy, machines("this machine", 64)[0]))) == 1


def test_a_service_that_starts_first_needs_memory_twice(
    compose: Compose, options: StackOptions
) -> None:
    parts = {part.service: part.tasks for part in needed(compose, options).first_manager}
    assert parts["api-server"] == 2
    assert parts["web"] == 1


@pytest.mark.parametrize("place", ["node.role == worker", "node.role==worker"])
def test_a_user_s_service_counts_on_the_nodes_of_its_constraints(
    compose: Compose, options: StackOptions, place: str
) -> None:
    site: dict[str, Any] = {
        "image": f"site@sha256:{'ab' * 32}",
        "deploy": {
            "mode": "global",
            "placement": {"constraints": [place]},
            "resources": {kind: {"memory": "3g"} for kind in ("reservations", "limits")},
        },
    }
    compose["services"]["site"] = site
    (found,) = problems(needed(compose, options), machines("m", 8), machines("w", 3.6, count=2))
    assert "w: the services reserve 3.2 GiB (site 3,072 MiB, worker 256 MiB) there" in found


def test_needs_survive_pulumis_floats(compose: Compose, options: StackOptions) -> None:
    default = needed(compose, options)
    floats = {
        key: [{**part, "tasks": float(part["tasks"])} for part in value]
        if isinstance(value, tuple)
        else float(value)
        for key, value in default.to_dict().items()
    }
    assert Needs.from_dict(floats) == default
