"""What the swarm's answers mean: up, still starting, or failed for good."""

from __future__ import annotations

import json

from infra.stack.convergence import crash_loop, paused_update, progress, stopped_by, unsettled
from infra.stack.tasks import Snapshot, parse_services, parse_tasks


def service(
    name: str,
    *,
    replicas: int | None = 1,
    condition: str = "any",
    update: str = "",
    by: str = "",
) -> str:
    message = f"update paused due to failure{f' or early termination of task {by}' if by else ''}"
    mode = {"Global": {}} if replicas is None else {"Replicated": {"Replicas": replicas}}
    return json.dumps(
        {
            "Spec": {
                "Name": f"airflow_{name}",
                "Labels": {
                    "dairflow.digest": "d1",
                    **({"dairflow.worker": "true"} if name.startswith("worker") else {}),
                },
                "Mode": mode,
                "TaskTemplate": {
                    "ContainerSpec": {"Image": "registry/x@sha256:1", "DNSConfig": {}},
                    "RestartPolicy": {"Condition": condition},
                },
            },
            "UpdateStatus": {"State": update, "Message": message} if update else None,
        }
    )


def task(
    name: str,
    state: str,
    *,
    wanted: str = "Running",
    node: str = "worker-1",
    error: str = "",
    n: int = 1,
) -> str:
    return json.dumps(
        {
            "ID": f"{name}-{state}-{n}",
            "Name": f"airflow_{name}",
            "Image": "registry/x@sha256:1",
            "Node": node,
            "DesiredState": wanted,
            "CurrentState": f"{state} 3 seconds ago",
            "Error": error,
        }
    )


def snapshot(services: list[str], tasks: list[str]) -> Snapshot:
    return Snapshot(
        services=parse_services("airflow", "\n".join(services)),
        tasks=parse_tasks("airflow", "\n".join(tasks)),
    )


def test_running_tasks_are_settled() -> None:
    seen = snapshot(
        [service("worker", replicas=2), service("api-server", replicas=None)],
        [
            task("worker.1", "Running"),
            task("worker.2", "Running", node="worker-2"),
            task("api-server.abc", "Running", node="manager-1"),
        ],
    )
    assert unsettled(seen) == []
    assert progress(seen) == ""


def test_a_line_names_the_node_that_is_pulling() -> None:
    seen = snapshot(
        [service("worker", replicas=2)],
        [task("worker.1", "Running"), task("worker.2", "Preparing", node="worker-2")],
    )
    assert progress(seen) == "worker 1/2 (worker-2: pulling image)"


def test_a_task_without_a_node_is_reported_with_the_reason() -> None:
    seen = snapshot(
        [service("worker")], [task("worker.1", "Pending", node="", error="no suitable node")]
    )
    assert progress(seen) == "worker 0/1 (not placed yet: no suitable node)"


def test_the_migration_has_converged_when_it_is_complete() -> None:
    migrate = service("migrate", condition="on-failure")
    assert unsettled(snapshot([migrate], [task("migrate.1", "Running")]))
    assert not unsettled(snapshot([migrate], [task("migrate.1", "Complete", wanted="Shutdown")]))


def test_a_service_without_tasks_has_not_converged() -> None:
    assert unsettled(snapshot([service("api-server", replicas=None)], []))
    assert unsettled(snapshot([service("redis")], []))


def test_an_update_under_way_has_not_converged() -> None:
    seen = snapshot([service("redis", update="updating")], [task("redis.1", "Running")])
    assert progress(seen) == "redis 1/1"


def test_a_worker_that_finishes_its_tasks_is_reported() -> None:
    seen = snapshot(
        [service("worker", update="updating")],
        [
            task("worker.1", "Ready", wanted="Ready"),
            task("worker.1", "Running", wanted="Shutdown", node="worker-2"),
        ],
    )
    assert progress(seen) == "worker 0/1 (worker-1: image ready; worker-2: finishing its tasks)"


def test_one_failure_is_a_start_that_may_yet_succeed() -> None:
    seen = snapshot(
        [service("redis")],
        [
            task("redis.1", "Starting"),
            task("redis.1", "Failed", wanted="Shutdown", error="exit 1"),
        ],
    )
    assert crash_loop(seen, already_failed=()) is None


def failed_thrice(state: str) -> Snapshot:
    failures = [
        task("redis.1", state, wanted="Shutdown", error=f"error {n}", n=n) for n in (3, 2, 1)
    ]
    return snapshot([service("redis")], [task("redis.1", "Ready", wanted="Ready"), *failures])


def test_three_failures_are_a_crash_loop_reported_by_the_newest() -> None:
    for state in ("Failed", "Rejected"):
        found = crash_loop(failed_thrice(state), already_failed=())
        assert found is not None
        assert found.error == "error 3"


def test_failures_of_before_the_deployment_do_not_count() -> None:
    assert crash_loop(failed_thrice("Failed"), already_failed={"redis.1-Failed-1"}) is None


def test_a_paused_update_is_found() -> None:
    seen = snapshot([service("redis", update="paused")], [task("redis.1", "Running")])
    found = paused_update(seen)
    assert found is not None
    assert found.update_message == "update paused due to failure"


def test_a_paused_update_is_explained_by_the_task_that_the_swarm_names() -> None:
    tasks = [task("redis.1", "Running"), *(task("redis.2", "Rejected", n=n) for n in (3, 2))]
    seen = snapshot([service("redis", update="paused", by="redis.2-Rejected-2")], tasks)
    found = stopped_by(seen, seen.services[0])
    assert found is not None
    assert found.id == "redis.2-Rejected-2"


def test_a_paused_update_that_names_no_task_is_explained_by_the_newest_failure() -> None:
    tasks = [task("redis.1", "Running"), *(task("redis.2", "Rejected", n=n) for n in (3, 2))]
    seen = snapshot([service("redis", update="paused")], tasks)
    found = stopped_by(seen, seen.services[0])
    assert found is not None
    assert found.id == "redis.2-Rejected-3"


def test_a_history_line_belongs_to_its_slot() -> None:
    (parsed,) = parse_tasks(
        "airflow",
        json.dumps({**json.loads(task("worker.1", "Failed")), "Name": " \\_ airflow_worker.1"}),
    )
    assert (parsed.service, parsed.slot, parsed.state) == ("worker", "worker.1", "failed")


def test_every_age_that_the_engine_writes_is_cut_off() -> None:
    for age in ("3 seconds ago", "about a minute ago", "less than a second ago", "an hour ago"):
        line = json.dumps({**json.loads(task("redis.1", "x")), "CurrentState": f"Running {age}"})
        assert parse_tasks("airflow", line)[0].state == "running"
