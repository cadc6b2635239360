"""Tasks that wait in the broker, with Airflow's times in seconds: none fails without running."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tools.airflow_api import Airflow
from tools.laptop_secrets import write_missing

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
UP_SECONDS = 300
RUN_SECONDS = 300
SHORT = 10
"""Seconds for what is a year (the timeout of queued tasks) or ten minutes (a lost message)."""

VISIBILITY_SECONDS = 30
"""Longer than each task but the one that is delivered twice."""

DAG = """
import time
from airflow.sdk import dag, task


@dag(schedule=None, is_paused_upon_creation=False, params={"tasks": 1, "seconds": 1})
def waiting():
    @task
    def wait(number, params=None):
        time.sleep(params["seconds"])
        return number

    @task
    def numbers(params=None):
        return list(range(params["tasks"]))

    wait.expand(number=numbers())


waiting()
"""


class Queue:
    """The compose file's services, with one slot a worker and short times."""

    def __init__(self, folder: Path, name: str, compose_command: list[str]) -> None:
        self.compose_command = compose_command
        self.dags, self.secrets = folder / "dags", folder / "secrets"
        self.dags.mkdir()
        self.dags.chmod(0o755)
        (self.dags / "waiting.py").write_text(DAG)
        write_missing(self.secrets)
        self.web_port = free_port()
        override = folder / "short-times.yaml"
        override.write_text(json.dumps({"services": self._services()}))
        self.environment = {
            "COMPOSE_PROJECT_NAME": name,
            "COMPOSE_FILE": f"{ROOT / 'docker-compose.yaml'}:{override}",
            "DAIRFLOW_SECRETS": str(self.secrets),
            "DAIRFLOW_WEB_PORT": str(self.web_port),
            "DAIRFLOW_FLOWER_PORT": str(free_port()),
            "DAIRFLOW_WORKER_CONCURRENCY": "1",
        }

    def _services(self) -> dict[str, Any]:
        """Shorten all times that are seconds here and minutes, days or years elsewhere."""
        services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
        dags = f"{self.dags}:/opt/airflow/dags:ro"
        changed: dict[str, Any] = {
            name: {"volumes": [dags]}
            for name, service in services.items()
            if any("/opt/airflow/dags" in mount for mount in service.get("volumes", []))
        }
        changed["scheduler"] = {
            "command": "${SCHEDULER:-scheduler}",
            "environment": {
                "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "${QUEUED_TIMEOUT:-31536000}",
                "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
                "LOST_MESSAGE_SECONDS": str(SHORT),
            },
        }
        # Renewed by a heartbeat in the last 30 s.
        changed["api-server"] = {
            "environment": {"AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME": "40"}
        }
        changed["worker"]["environment"] = {
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": str(VISIBILITY_SECONDS)
        }
        return changed

    def compose(self, *arguments: str, **variables: str) -> str:
        done = subprocess.run(
            [*self.compose_command, *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=UP_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self, *services: str, workers: int, **variables: str) -> None:
        scale = ("--scale", f"worker={workers}")
        self.compose("up", "--detach", "--wait", "--no-build", *scale, *services, **variables)

    def airflow(self) -> Airflow:
        password = (self.secrets / "admin_password").read_text()
        url = f"http://127.0.0.1:{self.web_port}"
        airflow = Airflow(url=url, user="admin", password=password)
        airflow.login()
        airflow.wait_for_dag("waiting", timeout=UP_SECONDS)
        return airflow

    def redis(self, *command: str) -> str:
        password = (self.secrets / "redis_password").read_text()
        return self.compose(
            *("exec", "-T", "-e", f"REDISCLI_AUTH={password}", "redis", "redis-cli", *command)
        ).strip()

    def requeued(self, run: str) -> int:
        """How many times the scheduler took a task of the run for lost."""
        query = "SELECT run_id FROM log WHERE event LIKE '%stuck in queued%'"
        command = ("psql", "-U", "postgres", "-At", "-c", query, "airflow")
        return self.compose("exec", "-T", "postgres", *command).splitlines().count(run)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def queue(
    tmp_path_factory: pytest.TempPathFactory, test_mark: str, compose_command: list[str]
) -> Iterator[Queue]:
    folder = tmp_path_factory.mktemp("queue")
    queue = Queue(folder, f"dairflow-test-{test_mark}-queue", compose_command)
    try:
        queue.up(workers=1)
        yield queue
    finally:
        queue.compose("down", "--volumes", "--timeout", "5")


def wait_for_state(airflow: Airflow, run: str, state: str, count: int) -> None:
    deadline = time.monotonic() + RUN_SECONDS
    while [task.state for task in airflow.tasks("waiting", run)].count(state) < count:
        assert time.monotonic() < deadline, airflow.tasks("waiting", run)
        time.sleep(0.5)


def test_a_backlog_waits_and_succeeds(queue: Queue) -> None:
    """The last task waits for more than three times what a lost message is given."""
    airflow = queue.airflow()
    run = airflow.trigger("waiting", {"tasks": 5, "seconds": SHORT})
    assert airflow.wait_for_run("waiting", run, RUN_SECONDS) == "success"
    assert {task.try_number for task in airflow.tasks("waiting", run)} == {1}
    assert queue.requeued(run) == 0


@pytest.mark.chaos
def test_a_backlog_waits_for_a_worker_that_is_away(queue: Queue) -> None:
    airflow = queue.airflow()
    queue.compose("stop", "worker")
    run = airflow.trigger("waiting", {"tasks": 2, "seconds": 1})
    wait_for_state(airflow, run, "queued", 1)
    time.sleep(3 * (SHORT + 5))  # longer than Airflow's own check would let it wait
    queue.up("worker", workers=1)
    assert airflow.wait_for_run("waiting", run, RUN_SECONDS) == "success"
    assert queue.requeued(run) == 0


@pytest.mark.chaos
def test_a_message_that_the_broker_lost_is_sent_again(queue: Queue) -> None:
    airflow = queue.airflow()
    queue.compose("stop", "worker")
    run = airflow.trigger("waiting", {"tasks": 2, "seconds": 1})
    wait_for_state(airflow, run, "queued", 1)
    deadline = time.monotonic() + RUN_SECONDS
    while queue.redis("del", "default") != "1":
        assert time.monotonic() < deadline
        time.sleep(0.5)
    queue.up("worker", workers=1)
    assert airflow.wait_for_run("waiting", run, RUN_SECONDS) == "success"
    assert {task.try_number for task in airflow.tasks("waiting", run)} == {1}
    assert queue.requeued(run) == 1


@pytest.mark.chaos
def test_a_task_that_a_killed_worker_received_is_sent_again(queue: Queue) -> None:
    """The worker has the message, and cannot start the task before it is killed."""
    airflow = queue.airflow()
    queue.compose("stop", "worker")
    run = airflow.trigger("waiting", {"tasks": 2, "seconds": 1})
    wait_for_state(airflow, run, "queued", 1)
    queue.compose("pause", "api-server")
    queue.up("worker", "--no-deps", workers=1)
    deadline = time.monotonic() + RUN_SECONDS
    while queue.redis("hlen", "unacked") != "1":
        assert time.monotonic() < deadline
        time.sleep(0.5)
    queue.compose("kill", "worker")
    queue.compose("unpause", "api-server")
    queue.redis("del", "unacked", "unacked_index")  # returned after 30 days elsewhere
    queue.up("worker", workers=1)
    assert airflow.wait_for_run("waiting", run, RUN_SECONDS) == "success"
    assert queue.requeued(run) == 1


@pytest.mark.chaos
def test_a_task_outlives_its_token_and_a_second_delivery(queue: Queue) -> None:
    """A second worker receives the message of a task that runs, and leaves the task alone."""
    queue.up("worker", workers=2)
    airflow = queue.airflow()
    run = airflow.trigger("waiting", {"tasks": 1, "seconds": 3 * VISIBILITY_SECONDS})
    assert airflow.wait_for_run("waiting", run, RUN_SECONDS) == "success"
    assert {task.try_number for task in airflow.tasks("waiting", run)} == {1}
    assert "ignoring redelivered message" in queue.compose("logs", "worker")


@pytest.mark.chaos
def test_airflow_s_own_check_fails_the_same_backlog(queue: Queue) -> None:
    """The last test of this file: what the tests above do not see any more."""
    queue.up(
        "scheduler", "worker", workers=1, SCHEDULER="airflow scheduler", QUEUED_TIMEOUT=str(SHORT)
    )
    airflow = queue.airflow()
    run = airflow.trigger("waiting", {"tasks": 5, "seconds": SHORT})
    assert airflow.wait_for_run("waiting", run, RUN_SECONDS) == "failed"
    failed = [task for task in airflow.tasks("waiting", run) if task.state == "failed"]
    assert any(not task.hostname for task in failed), "one that no worker ran"
