"""The cause that is named when the swarm does not place a task."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.stack.convergence import progress
from infra.stack.placement import Wants, causes, parse_wants
from infra.stack.tasks import Snapshot, parse_services, parse_tasks

TEMPLATE = {
    "ContainerSpec": {"Image": "registry/x@sha256:1"},
    "Resources": {"Reservations": {"MemoryBytes": 2 * 1024**3, "NanoCPUs": 1_500_000_000}},
    "Placement": {"Constraints": ["node.role == worker"], "MaxReplicas": 1},
}


def snapshot(*tasks: dict[str, str], template: dict[str, Any] = TEMPLATE) -> Snapshot:
    service = {
        "Spec": {
            "Name": "airflow_worker",
            "Mode": {"Replicated": {"Replicas": len(tasks)}},
            "TaskTemplate": template,
        }
    }
    lines = [
        json.dumps(
            {"ID": f"t{n}", "Name": f"airflow_worker.{n}", "Image": "x", "Node": "", "Error": ""}
            | {"DesiredState": "Running", "CurrentState": "Pending 5 seconds ago"}
            | task
        )
        for n, task in enumerate(tasks, start=1)
    ]
    return Snapshot(
        services=parse_services("airflow", json.dumps(service)),
        tasks=parse_tasks("airflow", "\n".join(lines)),
    )


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (
            "insufficient resources on 3 nodes",
            (
                "3 nodes with too little memory or CPU left"
                " (the task reserves 2.00 GiB of memory and 1.5 CPUs)"
            ),
        ),
        ("1 node not available for new tasks", "1 node down, paused or drained"),
        (
            "scheduling constraints not satisfied on 2 nodes",
            "2 nodes that the constraint node.role == worker excludes",
        ),
        (
            "max replicas per node limit exceed",
            "nodes with as many tasks of the service as it permits on one (1)",
        ),
        ("host-mode port already in use on 1 node", "1 node on which its port is in use"),
        (
            "1 node not available for new tasks; unsupported platform on 2 nodes",
            "1 node down, paused or drained, unsupported platform on 2 nodes",
        ),
    ],
)
def test_the_schedulers_error_is_reported_in_words(error: str, cause: str) -> None:
    seen = snapshot({"Error": f'"no suitable node ({error})"'})
    assert progress(seen) == f"worker 0/1 (not placed yet: {cause})"
    assert causes(seen) == [f"worker: 1 task has no node: {cause}"]


def test_a_task_that_stays_new_has_no_address() -> None:
    seen = snapshot(*[{"CurrentState": "New about a minute ago"}] * 3)
    assert causes(seen) == ["worker: 3 tasks have no node: no address is left in its network"]


@pytest.mark.parametrize("state", ["New less than a second ago", "New 3 seconds ago"])
def test_a_task_that_was_just_made_is_only_not_placed_yet(state: str) -> None:
    seen = snapshot({"CurrentState": state})
    assert causes(seen) == []
    assert progress(seen) == "worker 0/1 (not placed yet)"


def test_a_task_with_a_node_has_no_cause() -> None:
    assert causes(snapshot({"Node": "worker-1", "CurrentState": "Starting 1 minute ago"})) == []


def test_a_service_without_reservations() -> None:
    assert parse_wants({"ContainerSpec": {}, "Placement": {}, "Resources": {}}) == Wants()
    seen = snapshot(
        {"Error": "no suitable node (insufficient resources on 1 node)"},
        template={"ContainerSpec": {"Image": "x"}},
    )
    assert causes(seen) == ["worker: 1 task has no node: 1 node with too little memory or CPU left"]
