"""How fast tasks follow each other: Airflow's official compose settings and this project's.

Two stacks of this project's compose file run side by side, each with two workers of four slots: one
with the settings of Airflow's official compose file, and one with ours as a cluster has them. A
chain of ten tasks that do nothing, and a hundred of them at once, run on one and the other in turn,
so that other work on the machine slows both. The times are from a run's ``queued_at`` to its
``end_date``. At the end, the processor time that our stack takes when idle.

    python -m benchmarks speed
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import yaml

from benchmarks._stack import ROOT
from infra.stack.render import DAG_PARSE_SECONDS
from tools.airflow_api import Airflow
from tools.laptop_secrets import write_missing

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS, SLOTS_PER_WORKER = 2, 4
REPEATS = 3
GOALS = {"chain": 2.3, "fan": 1.7}
"""Times faster than the official settings."""

IDLE_GOAL = 0.10
IDLE_SECONDS = 60.0
IDLE_SERVICES = ("scheduler", "postgres")
"""The services whose idle work depends on the scheduler's sleep."""

START_SECONDS = 300.0
RUN_SECONDS = 600.0

NO_OPS = """
from airflow.sdk import dag, task


@task
def nothing():
    pass


def no_ops(number):
    return [nothing.override(task_id=f"task_{i}")() for i in range(number)]


@dag(schedule=None, is_paused_upon_creation=False)
"""

DAGS = {
    "chain": """
def chain():
    tasks = no_ops(10)
    for before, after in zip(tasks, tasks[1:]):
        before >> after


chain()
""",
    "fan": """
def fan():
    no_ops(100)


fan()
""",
}
"""Each in a file of its own: a task parses its whole file."""

OURS = (
    "AIRFLOW__CELERY__SYNC_PARALLELISM",
    "AIRFLOW__CELERY__TASK_TRACK_STARTED",
    "AIRFLOW__CORE__MAX_ACTIVE_RUNS_PER_DAG",
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG",
    "AIRFLOW__CORE__PARALLELISM",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL",
    "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME",
)
"""What may change a run's time, and the official compose file leaves at Airflow's defaults."""

OFFICIAL_COMMANDS = {"scheduler": "airflow scheduler", "worker": "airflow celery worker"}


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One stack, and its Airflow."""

    name: str
    airflow: Airflow

    def seconds(self, dag_id: str) -> float:
        """Run a DAG and return its seconds.

        Raises:
            SystemExit: if the run fails.

        """
        run = self.airflow.trigger(dag_id)
        state = self.airflow.wait_for_run(dag_id, run, RUN_SECONDS)
        if state != "success":
            message = f"{dag_id} of {self.name} ended as {state}"
            raise SystemExit(message)
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run}"
        answer = self.airflow._get(path).json()  # noqa: SLF001 - the only user of its times
        times = (datetime.fromisoformat(answer[key]) for key in ("queued_at", "end_date"))
        queued, ended = times
        return (ended - queued).total_seconds()

    def cpu_seconds(self) -> dict[str, float]:
        """Return the processor time that each service has taken so far."""
        client = docker.from_env()
        try:
            found = client.containers.list(
                filters={"label": f"com.docker.compose.project={self.name}"}
            )
            taken: dict[str, float] = {}
            for container in found:
                service = container.labels["com.docker.compose.service"]
                usage = container.stats(stream=False)["cpu_stats"]["cpu_usage"]["total_usage"]
                taken[service] = taken.get(service, 0.0) + usage / 1e9
            return taken
        finally:
            client.close()


@contextlib.contextmanager
def running(folder: Path, *, official: bool, web_port: int) -> Iterator[Stack]:
    """Bring up a stack, and remove it at the end."""
    name = f"dairflow-benchmark-{'official' if official else 'ours'}"
    secrets, override = folder / f"{name}-secrets", folder / f"{name}.yaml"
    write_missing(secrets)
    override.write_text(json.dumps({"services": changes(folder / "dags", official=official)}))
    environment = {
        **os.environ,
        "COMPOSE_PROJECT_NAME": name,
        "COMPOSE_FILE": f"{ROOT / 'docker-compose.yaml'}:{override}",
        "DAIRFLOW_SECRETS": str(secrets),
        "DAIRFLOW_WEB_PORT": str(web_port),
        "DAIRFLOW_FLOWER_PORT": str(web_port + 1),
        "DAIRFLOW_WORKER_CONCURRENCY": str(SLOTS_PER_WORKER),
        "DAIRFLOW_PARALLELISM": str(WORKERS * SLOTS_PER_WORKER),
        "DAIRFLOW_RUNS_PER_DAG": "16",
        "DAIRFLOW_PARSE_SECONDS": str(DAG_PARSE_SECONDS),
        "DAIRFLOW_REFRESH_SECONDS": str(DAG_PARSE_SECONDS),
    }

    def compose(*arguments: str) -> None:
        command = ["docker", "compose", *arguments]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)

    try:
        compose("up", "--detach", "--wait", "--no-build", "--scale", f"worker={WORKERS}")
        airflow = Airflow(
            url=f"http://127.0.0.1:{web_port}",
            user="admin",
            password=(secrets / "admin_password").read_text(),
        )
        airflow.login()
        for dag_id in GOALS:
            airflow.wait_for_dag(dag_id, START_SECONDS)
        yield Stack(name=name, airflow=airflow)
    finally:
        compose("down", "--volumes", "--timeout", "5")


def changes(dags: Path, *, official: bool) -> dict[str, dict[str, object]]:
    """Return what differs from the compose file: the DAGs, and the settings of the official one.

    Compose removes a variable that has no value and is not in its own environment.
    """
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
    changes: dict[str, dict[str, object]] = {}
    for name, service in services.items():
        change: dict[str, object] = {}
        if any(
            str(mount).endswith(":/opt/airflow/dags:ro") for mount in service.get("volumes", [])
        ):
            change["volumes"] = [f"{dags}:/opt/airflow/dags:ro"]
        if official:
            ours = [key for key in OURS if key in service.get("environment", {})]
            change |= {"environment": dict.fromkeys(ours)}
            if name in OFFICIAL_COMMANDS:
                change["command"] = OFFICIAL_COMMANDS[name]
        changes[name] = change
    return {name: change for name, change in changes.items() if change}


def compare(official: Stack, ours: Stack) -> bool:
    """Print both times of each DAG and their ratio; return whether both goals are reached."""
    reached = True
    for dag_id, goal in GOALS.items():
        for stack in (official, ours):
            stack.seconds(dag_id)  # the first run imports, connects and fills caches
        seconds: dict[str, list[float]] = {official.name: [], ours.name: []}
        for _ in range(REPEATS):
            for stack in (official, ours):
                seconds[stack.name].append(stack.seconds(dag_id))
        for stack in (official, ours):
            every = ", ".join(f"{one:.1f}" for one in seconds[stack.name])
            print(f"{dag_id}, {stack.name}: {every} s", flush=True)
        medians = [statistics.median(seconds[stack.name]) for stack in (official, ours)]
        ratio = medians[0] / medians[1]
        print(f"{dag_id}: {ratio:.2f} times faster; goal {goal:g}", flush=True)
        reached = reached and ratio >= goal
    return reached


def idle(ours: Stack) -> bool:
    """Print the share of a core that our stack takes when idle; return whether it is the goal."""
    before, started = ours.cpu_seconds(), time.monotonic()
    time.sleep(IDLE_SECONDS)
    after, seconds = ours.cpu_seconds(), time.monotonic() - started
    shares = {service: (after[service] - before[service]) / seconds for service in after}
    every = ", ".join(f"{service} {share:.1%}" for service, share in sorted(shares.items()))
    share = sum(shares[service] for service in IDLE_SERVICES)
    print(f"idle, of a core: {every}")
    print(f"idle, {' and '.join(IDLE_SERVICES)}: {share:.1%} of a core; goal {IDLE_GOAL:.0%}")
    return share <= IDLE_GOAL


def main() -> None:
    """Compare the two.

    Raises:
        SystemExit: if a goal is missed.

    """
    with tempfile.TemporaryDirectory(prefix="dairflow-benchmark-") as path:
        folder = Path(path)
        folder.chmod(0o755)
        (folder / "dags").mkdir(mode=0o755)
        for name, text in DAGS.items():
            (folder / "dags" / f"{name}.py").write_text(f"{NO_OPS.rstrip()}{text}")
        with running(folder, official=False, web_port=28084) as ours:
            with running(folder, official=True, web_port=28086) as official:
                fast = compare(official, ours)
            if not idle(ours) or not fast:
                raise SystemExit(1)


if __name__ == "__main__":
    main()
