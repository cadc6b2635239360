"""A deployment against a manager that answers from a script."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from infra.remote.runner import Completed
from infra.stack import deploy as deploy_module
from infra.stack import patience
from infra.stack.deploy import RegistryLogin, deploy, observe
from infra.stack.errors import StackError
from infra.stack.render import RenderedStack, render
from tests.fake_remote import FakeRunner

if TYPE_CHECKING:
    from infra.remote.machine import Machine
    from infra.stack.options import StackOptions

LOGIN = RegistryLogin(address="10.0.0.1:5000", user="dairflow", password="registry-password")
HEALTHY = "HTTP/1.1 200 OK\r\n\r\n" + json.dumps(
    {
        part: {"status": "healthy"}
        for part in ("metadatabase", "scheduler", "triggerer", "dag_processor")
    }
)
UNHEALTHY = HEALTHY.replace('"scheduler": {"status": "healthy"}', '"scheduler": {"status": null}')


class Clock:
    """A clock that each pause between two looks moves on, in place of the module ``time``."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.step = step

    def monotonic(self) -> float:
        return self.now

    def sleep(self, _seconds: float) -> None:
        self.now += self.step


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy_module, "POLL_SECONDS", 0)


@pytest.fixture
def rendered(compose: dict[str, Any], options: StackOptions) -> RenderedStack:
    return render(compose, options)


def ended(stdout: str = "", stderr: str = "", status: int = 0) -> Completed:
    return Completed(stdout=stdout, stderr=stderr, exit_status=status)


def container(rendered: RenderedStack, name: str) -> dict[str, Any]:
    return {"Image": rendered.document["services"][name]["image"], "Args": [name]}


def seen(rendered: RenderedStack, **states: str | list[str]) -> str:
    """Print what a manager prints: all up, but for the tasks of the services that are named."""
    tasks: list[str] = []
    services: list[str] = []
    for name, service in rendered.document["services"].items():
        ends = name == "migrate"
        replicas = service["deploy"].get("replicas", 1)
        up = "Complete" if ends else "Running"
        given = states.get(name.replace("-", "_"), [up] * replicas)
        for number, state in enumerate([given] if isinstance(given, str) else given, start=1):
            tasks.append(
                json.dumps(
                    {
                        "ID": f"{name}-{number}-{state.lower()}",
                        "Name": f"airflow_{name}.{1 if state == 'Failed' else number}",
                        "Image": service["image"],
                        "Node": "worker-1" if name == "worker" else "manager-1",
                        "DesiredState": "Shutdown" if state in {"Complete", "Failed"} else up,
                        "CurrentState": f"{state} 2 seconds ago",
                        "Error": "task: non-zero exit (1)" if state == "Failed" else "",
                    }
                )
            )
        services.append(
            json.dumps(
                {
                    "Spec": {
                        "Name": f"airflow_{name}",
                        "Labels": {
                            "dairflow.digest": rendered.digest(),
                            **({"dairflow.worker": "true"} if name == "worker" else {}),
                        },
                        "Mode": {"Replicated": {"Replicas": replicas}},
                        "TaskTemplate": {
                            "ContainerSpec": container(rendered, name),
                            "RestartPolicy": {"Condition": "on-failure" if ends else "any"},
                        },
                    }
                }
            )
        )
    return "\n".join([*services, "-- tasks --", *tasks])


def task_specs(rendered: RenderedStack, *, old: str = "") -> str:
    lines: list[str] = []
    for name, service in rendered.document["services"].items():
        for number in range(1, service["deploy"].get("replicas", 1) + 1):
            state = "complete" if name == "migrate" else "running"
            spec = {**container(rendered, name), **({"Args": ["old"]} if name == old else {})}
            lines.append(
                json.dumps({"ID": f"{name}-{number}-{state}", "Spec": {"ContainerSpec": spec}})
            )
    return "\n".join(lines)


def manager_of(machine: Machine, rendered: RenderedStack) -> FakeRunner:
    """Return a manager of an empty swarm on which everything comes up at once."""
    return (
        FakeRunner(machine)
        .on("docker info", "true\n")
        .on("docker node ls", "")
        .on("docker network ls", "")
        .on("docker network inspect", "")
        .on("docker secret ls", "", "\n".join([*rendered.secrets.values(), "airflow_old_123"]))
        .on("docker secret create", "")
        .on("docker secret rm", "")
        .on("docker config ls", "")
        .on("stack deploy", "")
        .on("docker stack ps", "-- tasks --", "-- tasks --", seen(rendered))
        .on("--type task", task_specs(rendered))
        .on("/dev/tcp", HEALTHY)
        .on("docker service logs", "it says why\n")
    )


def call_of(runner: FakeRunner, text: str) -> Any:
    (found,) = [call for call in runner.calls if text in call.command]
    return found


def run(
    runner: FakeRunner, rendered: RenderedStack, options: StackOptions, **arguments: Any
) -> tuple[list[str], Any]:
    lines: list[str] = []
    state = deploy(runner, rendered, options.secrets, report=lines.append, **arguments)
    return lines, state


def test_a_worker_node_that_stays_down_is_named_before_anything_is_changed(
    manager: Machine,
    rendered: RenderedStack,
    options: StackOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deploy_module, "DOWN_SECONDS", 0.05)
    runner = manager_of(manager, rendered).on("docker node ls", "worker-2\n")
    with pytest.raises(StackError, match=r"worker-2: down for .*\nNext: start worker-2 "):
        run(runner, rendered, options)
    assert not [command for command in runner.commands if "stack deploy" in command]


def test_a_worker_node_that_is_back_in_a_moment_is_waited_for(
    manager: Machine, rendered: RenderedStack, options: StackOptions
) -> None:
    runner = manager_of(manager, rendered).on("docker node ls", "worker-2\n", "")
    lines, _ = run(runner, rendered, options)
    assert lines[0] == "waiting at most 45 s for worker-2, which is down"


def test_a_worker_node_that_goes_down_meanwhile_ends_the_wait(
    manager: Machine,
    rendered: RenderedStack,
    options: StackOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deploy_module, "DOWN_SECONDS", 0.05)
    runner = manager_of(manager, rendered).on("docker node ls", "", "worker-2\n")
    pending = seen(rendered, worker=["Running", "Pending"])
    runner.on("docker stack ps", "-- tasks --", "-- tasks --", pending)
    with pytest.raises(StackError, match="worker-2: down for "):
        run(runner, rendered, options)


def test_a_first_deployment(
    manager: Machine, rendered: RenderedStack, options: StackOptions
) -> None:
    runner = manager_of(manager, rendered)
    _, state = run(runner, rendered, options, registry=LOGIN)
    assert state.digest == rendered.digest()
    assert {s.name: (s.running, s.desired) for s in state.services}["worker"] == (2, 2)
    sent = call_of(runner, "docker secret create").stdin.decode().splitlines()
    values = {line.split()[0]: base64.b64decode(line.split()[1]).decode() for line in sent}
    assert values == {rendered.secrets[name]: options.secrets[name] for name in options.secrets}


def test_the_document_and_the_password_go_in_by_standard_input(
    manager: Machine, rendered: RenderedStack, options: StackOptions
) -> None:
    runner = manager_of(manager, rendered)
    run(runner, rendered, options, registry=LOGIN)
    sent = call_of(runner, "stack deploy")
    password, document = sent.stdin.split(b"\n", 1)
    assert password.decode() == LOGIN.password
    services = json.loads(document)["services"].values()
    deployed = {service["deploy"]["labels"]["dairflow.deployed"] for service in services}
    assert document == rendered.to_bytes(datetime.fromisoformat(deployed.pop()))
    assert not deployed
    assert "--with-registry-auth" in sent.command


def test_no_command_holds_a_secret(
    manager: Machine, rendered: RenderedStack, options: StackOptions
) -> None:
    runner = manager_of(manager, rendered)
    run(runner, rendered, options, registry=LOGIN)
    for command in runner.commands:
        assert LOGIN.password not in command
        assert not any(value in command for value in options.secrets.values())


def test_secrets_of_former_values_are_swept(
    manager: Machine, rendered: RenderedStack, options: StackOptions
) -> None:
    runner = manager_of(manager, rendered)
    run(runner, rendered, options)
    command = call_of(runner, "docker secret rm").command
    assert "airflow_old_123" in command
    assert not any(name in command for name in rendered.secrets.values())


def test_secrets_that_are_there_are_not_made_again(
    manager: Machine, rendered: RenderedStack, options: StackOptions
) -> None:
    runner = manager_of(manager, rendered)
    runner.on("docker secret ls", "\n".join(rendered.secrets.values()))
    run(runner, rendered, options)
    assert not any("secret create" in command for command in runner.commands)
    assert not any("secret rm" in command for command in runner.commands)


def test_progress_is_printed_once_for_each_change(
    manager: Machine, rendered: RenderedStack, options: StackOptions
) -> None:
    pulling = seen(rendered, worker=["Running", "Preparing"])
    runner = manager_of(manager, rendered).on(
        "docker stack ps", "-- tasks --", "-- tasks --", pulling, pulling, seen(rendered)
    )
    runner.on("/dev/tcp", ended(status=1), UNHEALTHY, HEALTHY)
    lines, _ = run(runner, rendered, options)
    assert lines == [
        "worker 1/2 (worker-1: pulling image)",
        "Airflow reports: web server: does not answer on port 8080",
        "Airflow reports: scheduler: unknown",
    ]


def test_tasks_of_the_former_version_are_waited_for(
    manager: Machine, rendered: RenderedStack, options: StackOptions
) -> None:
    runner = manager_of(manager, rendered)
    runner.on("--type task", task_specs(rendered, old="redis"), task_specs(rendered))
    lines, _ = run(runner, rendered, options)
    assert lines == ["being replaced: redis.1"]


def test_the_same_deployment_again_is_another_to_the_swarm(
    manager: Machine, rendered: RenderedStack, options: StackOptions
) -> None:
    """It would ignore one that is equal to an update under way, also to one that has failed."""
    documents = []
    for _ in range(2):
        runner = manager_of(manager, rendered)
        run(runner, rendered, options)
        documents.append(call_of(runner, "stack deploy").stdin)
    assert documents[0] != documents[1]


def test_a_crash_loop_is_reported_with_node_error_and_log(
    manager: Machine, rendered: RenderedStack, options: StackOptions
) -> None:
    looping = seen(rendered, scheduler=["Failed", "Failed", "Failed"])
    looping = looping.replace("scheduler-2-failed", "scheduler-b").replace(
        "scheduler-3-failed", "scheduler-c"
    )
    runner = manager_of(manager, rendered).on(
        "docker stack ps", "-- tasks --", "-- tasks --", looping
    )
    runner.on("docker service logs", f"cannot sign in as {options.secrets['redis_password']}\n")
    with pytest.raises(StackError) as caught:
        run(runner, rendered, options)
    text = str(caught.value)
    for part in ("manager-1", "scheduler.1", "non-zero exit (1)", "cannot sign in", "Next:"):
        assert part in text
    assert options.secrets["redis_password"] not in text


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("scheduler", "1g, is too small. To change the limit: `pulumi config set --path memoryL"),
        ("worker", "2560m, is too small. To change the limit: `pulumi config set taskMemory SI"),
    ],
)
def test_a_service_that_is_killed_names_its_memory_limit(
    manager: Machine,
    rendered: RenderedStack,
    options: StackOptions,
    service: str,
    expected: str,
) -> None:
    looping = seen(rendered, **{service: ["Failed", "Failed", "Failed"]})
    for number in (2, 3):
        looping = looping.replace(f"{service}-{number}-failed", f"{service}-old-{number}")

    def failure(error: str) -> str:
        answer = looping.replace("non-zero exit (1)", error)
        runner = manager_of(manager, rendered)
        runner.on("docker stack ps", "-- tasks --", "-- tasks --", answer)
        with pytest.raises(StackError) as caught:
            run(runner, rendered, options)
        return str(caught.value)

    killed = failure("non-zero exit (137)")
    assert f"{service} was ended by SIGKILL" in killed
    assert f"its memory limit, {expected}" in killed
    unhealthy = failure("non-zero exit (137): dockerexec: unhealthy container")
    assert "SIGKILL" not in unhealthy
    assert "SIGKILL" not in failure("non-zero exit (1)")


def test_tasks_are_read_after_their_services(manager: Machine, rendered: RenderedStack) -> None:
    """An update that a task's failure has stopped is never seen without the failure."""
    runner = manager_of(manager, rendered)
    observe(runner, "airflow")
    (asked,) = (command for command in runner.commands if "docker stack ps" in command)
    assert asked.index("docker service inspect") < asked.index("docker stack ps")


def test_failures_of_an_earlier_deployment_are_not_this_one_s(
    manager: Machine, rendered: RenderedStack, options: StackOptions
) -> None:
    up = seen(rendered)
    history = seen(rendered, redis=["Running", "Failed"]).replace("redis-2-failed", "redis-old")
    runner = manager_of(manager, rendered).on("docker stack ps", history, history, up)
    _, state = run(runner, rendered, options)
    assert state.digest == rendered.digest()


def test_a_deployment_without_progress_ends_and_names_what_it_waited_for(
    manager: Machine,
    rendered: RenderedStack,
    options: StackOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "LONG_STEP_SECONDS", 0.05)
    stuck = seen(rendered, worker=["Running", "Preparing"])
    runner = manager_of(manager, rendered).on(
        "docker stack ps", "-- tasks --", "-- tasks --", stuck
    )
    with pytest.raises(StackError, match=r"worker 1/2 \(worker-1: pulling image\)") as caught:
        run(runner, rendered, options)
    assert "worker.2" in str(caught.value)
    assert "has made no progress for" in str(caught.value)


def test_a_slow_deployment_is_waited_for_as_long_as_something_moves(
    manager: Machine,
    rendered: RenderedStack,
    options: StackOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each step is shorter than the limit, all of them are four times as long."""
    clock = Clock(step=patience.STILL_SECONDS / 10)
    monkeypatch.setattr(deploy_module, "time", clock)
    steps = [
        seen(rendered, scheduler=state).replace("scheduler-1-", f"scheduler-{n}-")
        for n in range(5)
        for state in ("Assigned", "Ready")
    ]
    runner = manager_of(manager, rendered).on(
        "docker stack ps",
        *("-- tasks --", "-- tasks --"),
        *(step for step in steps for _ in range(4)),
        seen(rendered),
    )
    _, state = run(runner, rendered, options)
    assert state.digest == rendered.digest()
    assert clock.now > 2 * patience.STILL_SECONDS


def test_a_slow_start_shows_in_its_log(
    manager: Machine,
    rendered: RenderedStack,
    options: StackOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without another line it would be taken for one without progress; so is one that waits."""
    clock = Clock(step=20)
    monkeypatch.setattr(deploy_module, "time", clock)
    starts = seen(rendered, api_server="Starting")
    runner = manager_of(manager, rendered)
    runner.on("docker stack ps", "-- tasks --", "-- tasks --", *[starts] * 70, seen(rendered))
    runner.on('docker service logs --raw --tail 1 "', *(f"import {n}\n" for n in range(99)))
    lines, state = run(runner, rendered, options)
    assert state.digest == rendered.digest()
    assert clock.now > 2 * patience.STILL_SECONDS
    assert any("[no change for 1 min; gives up after 10]" in line for line in lines)

    runner = manager_of(manager, rendered).on(
        "docker stack ps", "-- tasks --", "-- tasks --", starts
    )
    waits = (f"waiting for postgres:5432 {n}\n" for n in range(99))
    runner.on('docker service logs --raw --tail 1 "', *waits)
    with pytest.raises(StackError, match="has made no progress for 6"):
        run(runner, rendered, options)


def test_the_time_in_which_a_worker_finishes_its_tasks_does_not_count(
    manager: Machine,
    rendered: RenderedStack,
    options: StackOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When it has ended, the wait is as long as without it, and not as the grace period."""
    clock = Clock(step=patience.STILL_SECONDS / 2)
    monkeypatch.setattr(deploy_module, "time", clock)
    stuck = seen(rendered, worker=["Running", "Ready"])
    last = json.loads(stuck.splitlines()[-1])
    leaving = {**last, "Name": "airflow_worker.2", "DesiredState": "Shutdown"}
    leaving["CurrentState"] = "Running 2 minutes ago"
    finishing = f"{stuck}\n{json.dumps(leaving)}"
    runner = manager_of(manager, rendered).on(
        "docker stack ps", "-- tasks --", "-- tasks --", *[finishing] * 9, stuck
    )
    with pytest.raises(StackError, match=r"worker 1/2 \(worker-1: image ready\)\.") as caught:
        run(runner, rendered, options)
    assert "finishing" not in str(caught.value)
    assert clock.now > 5 * patience.STILL_SECONDS


def test_a_removal_under_way_is_waited_for(
    manager: Machine, rendered: RenderedStack, options: StackOptions
) -> None:
    runner = manager_of(manager, rendered).on("docker network ls", "airflow_default\n", "")
    runner.on("docker stack ps", "-- tasks --", "-- tasks --", "-- tasks --", seen(rendered))
    lines, _ = run(runner, rendered, options)
    assert lines == ["an earlier removal of this stack is still in progress"]
    order = [c for c in runner.commands if "network ls" in c or "stack deploy" in c]
    assert len(order) == 3
    assert "stack deploy" in order[-1]


def test_a_machine_that_is_not_a_manager_is_refused(
    manager: Machine, rendered: RenderedStack, options: StackOptions
) -> None:
    runner = manager_of(manager, rendered).on("docker info", "false\n")
    with pytest.raises(StackError, match="is not a manager"):
        run(runner, rendered, options)
    assert not any("stack deploy" in command for command in runner.commands)


def test_a_stack_that_is_not_there_is_nothing(manager: Machine) -> None:
    assert observe(FakeRunner(manager).on("docker stack ps", "-- tasks --"), "airflow") is None


def test_services_of_two_deployments_have_no_digest(
    manager: Machine, rendered: RenderedStack
) -> None:
    mixed = seen(rendered).replace(rendered.digest(), "another", 1)
    state = observe(FakeRunner(manager).on("docker stack ps", mixed), "airflow")
    assert state is not None
    assert state.digest == ""


def test_a_network_that_is_too_small_is_refused_before_anything_is_changed(
    manager: Machine, rendered: RenderedStack, options: StackOptions
) -> None:
    """A deployment leaves a network as it is; tasks without an address stay `New` in silence."""
    runner = manager_of(manager, rendered).on("docker network inspect", "10.0.1.0/28\n")
    with pytest.raises(StackError) as caught:
        run(runner, rendered, options)
    message = str(caught.value)
    assert "the network airflow_default is 10.0.1.0/28, with 13 addresses" in message
    assert f"these settings need {rendered.addresses} (" in message
    assert "Next: set fewer workers; or move Airflow to the network 10.192.0.0/20" in message
    assert not any("stack deploy" in c or "secret create" in c for c in runner.commands)


def test_a_network_of_before_that_is_large_enough_stays(
    manager: Machine, rendered: RenderedStack, options: StackOptions
) -> None:
    runner = manager_of(manager, rendered).on("docker network inspect", "10.0.1.0/24\n")
    lines, _ = run(runner, rendered, options)
    assert lines[0].startswith("the network airflow_default stays 10.0.1.0/24; to move Airflow to")


def test_a_timeout_names_why_tasks_have_no_node(
    manager: Machine,
    rendered: RenderedStack,
    options: StackOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "STILL_SECONDS", 0.05)
    waiting = seen(rendered, worker=["Running", "New"]).replace(
        '"Node": "worker-1", "DesiredState": "Running", "CurrentState": "New 2 seconds ago"',
        '"Node": "", "DesiredState": "Running", "CurrentState": "New 5 minutes ago"',
    )
    runner = manager_of(manager, rendered).on(
        "docker stack ps", "-- tasks --", "-- tasks --", waiting
    )
    with pytest.raises(StackError) as caught:
        run(runner, rendered, options)
    assert "worker: 1 task has no node: no address is left in its network" in str(caught.value)
