"""The laptop: the same compose file, brought up by Docker Compose itself."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import docker
import pytest
import requests
import yaml

from infra.images import project_images
from infra.stack.secrets import SECRET_NAMES
from tools.airflow_api import Airflow
from tools.laptop_secrets import write_missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.models.containers import Container

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
UP_SECONDS = 300
LIVE_SECONDS = 60
QUEUE = "default"
ABSENCE_SECONDS = 240
"""The longest absence that tasks outlive, according to the README."""
SHORT_ABSENCE_SECONDS = 30
"""Longer than a task outlives with Airflow's own number of retries."""


class Laptop:
    """One project of Compose's, with its own ports, secrets and folders; the rest is `make dev`."""

    def __init__(self, folder: Path, name: str, compose_command: list[str]) -> None:
        self.name = name
        self.compose_command = compose_command
        self.dags, self.builder = folder / "dags", folder / "dag_builder"
        leave_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "dags", self.dags, ignore=leave_out)
        shutil.copytree(ROOT / "dag_builder/src/dag_builder", self.builder, ignore=leave_out)
        self.secrets = folder / "secrets"
        # A password that has to be encoded in a URL shows each place that forgets one of its forms.
        self.secrets.mkdir()
        for secret in ("redis_password", "warehouse_password"):
            (self.secrets / secret).write_text(f"{secrets.token_urlsafe()}/@ +%")
        write_missing(self.secrets)
        self.first_run = ""
        self.web_port, self.flower_port = free_port(), free_port()
        other_folders = folder / "other-folders.yaml"
        other_folders.write_text(json.dumps({"services": self._folders()}))
        self.environment = {
            "COMPOSE_PROJECT_NAME": self.name,
            "COMPOSE_FILE": f"{ROOT / 'docker-compose.yaml'}:{other_folders}",
            "DAIRFLOW_SECRETS": str(self.secrets),
            "DAIRFLOW_WEB_PORT": str(self.web_port),
            "DAIRFLOW_FLOWER_PORT": str(self.flower_port),
        }

    def _folders(self) -> dict[str, Any]:
        """Mount copies in the places where the compose file mounts the project's own folders."""
        copies = {"./dags": self.dags, "./dag_builder/src/dag_builder": self.builder}
        services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
        mounts = {
            name: [mount for mount in service.get("volumes", []) if str(mount).startswith("./")]
            for name, service in services.items()
        }
        assert set(copies) == {mount.split(":")[0] for found in mounts.values() for mount in found}
        return {
            name: {"volumes": [f"{copies[m.split(':')[0]]}:{m.split(':', 1)[1]}" for m in found]}
            for name, found in mounts.items()
            if found
        }

    def compose(self, *arguments: str, timeout: float = UP_SECONDS) -> str:
        return self.run(*self.compose_command, *arguments, timeout=timeout)

    def make(self, *arguments: str) -> str:
        return self.run("make", "--no-print-directory", *arguments)

    def run(self, *command: str, timeout: float = UP_SECONDS) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text()

    def sql(self, database: str, query: str) -> str:
        """Query PostgreSQL as its administrator."""
        command = ("psql", "--username", "postgres", "--tuples-only", "--no-align", "--command")
        return self.compose("exec", "-T", "postgres", *command, query, database).strip()

    def redis(self, *command: str) -> str:
        """Query the broker."""
        script = 'REDISCLI_AUTH=$(cat /run/secrets/redis_password) exec redis-cli "$@"'
        return self.compose("exec", "-T", "redis", "bash", "-c", script, "-", *command).strip()

    def history(self, query: str) -> str:
        """Query Airflow's database with the connection that tasks have."""
        script = (
            "import sys, psycopg2\n"
            "cursor = psycopg2.connect(sys.argv[1]).cursor()\n"
            "cursor.execute(sys.argv[2])\n"
            "print(cursor.fetchone()[0])"
        )
        return self.worker_python(script, self.history_uri, query)

    @cached_property
    def history_uri(self) -> str:
        return self.worker_python(
            "from airflow.sdk import BaseHook\n"
            "print(BaseHook.get_connection('airflow_history').get_uri())"
        )

    def worker_python(self, script: str, *arguments: str) -> str:
        """Run a script in a worker; return the last line that it prints."""
        python = ("python", "-W", "ignore", "-c", script, *arguments)
        return self.compose("exec", "-T", "worker", *python).strip().splitlines()[-1]

    def containers(self) -> list[Container]:
        """Every container of this project, also one that has ended."""
        mine = {"label": f"com.docker.compose.project={self.name}"}
        return docker.from_env().containers.list(all=True, filters=mine)

    def exec(self, service: str, *command: str) -> tuple[int, str]:
        """Run a command in a service's container; return its exit code and what it printed."""
        (container, *_) = (
            c for c in self.containers() if c.labels["com.docker.compose.service"] == service
        )
        answer = container.exec_run(list(command))
        return answer.exit_code, answer.output.decode()

    def airflow(self) -> Airflow:
        airflow = Airflow(
            url=f"http://127.0.0.1:{self.web_port}",
            user="admin",
            password=self.secret("admin_password"),
        )
        airflow.login()
        return airflow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def laptop(
    tmp_path_factory: pytest.TempPathFactory, test_mark: str, compose_command: list[str]
) -> Iterator[Laptop]:
    """All services, with two workers, healthy: what `make dev` makes."""
    name = f"dairflow-test-{test_mark}-laptop"
    laptop = Laptop(tmp_path_factory.mktemp("laptop"), name, compose_command)
    try:
        printed = laptop.make("dev")
        assert f"http://localhost:{laptop.web_port}" in printed
        assert f"http://localhost:{laptop.flower_port}" in printed
        yield laptop
    finally:
        laptop.compose("down", "--volumes", "--timeout", "5")


def test_a_run_uses_both_workers(laptop: Laptop) -> None:
    airflow = laptop.airflow()
    airflow.wait_for_dag("cluster_check", timeout=LIVE_SECONDS)
    run = airflow.trigger("cluster_check")
    assert airflow.wait_for_run("cluster_check", run, timeout=120) == "success"
    laptop.first_run = run
    assert len({task.hostname for task in airflow.tasks("cluster_check", run)}) == 2


EXAMPLES: dict[str, dict[str, Any]] = {
    "orders_etl": {},
    "file_totals": {},
    "tidy_logs": {"load": 1000},
    "machine_measure": {},
}


def test_every_example_runs(laptop: Laptop) -> None:
    airflow = laptop.airflow()
    for dag in (*EXAMPLES, "machine_watch", "cluster_report"):
        airflow.wait_for_dag(dag, timeout=LIVE_SECONDS)
        airflow.unpause(dag)
    runs = {dag: airflow.trigger(dag, conf) for dag, conf in EXAMPLES.items()}
    for dag, run in runs.items():
        assert airflow.wait_for_run(dag, run, timeout=120) == "success", dag
    skipped = [t.task_id for t in airflow.tasks("tidy_logs", runs["tidy_logs"]) if not t.hostname]
    assert "delete" in skipped, "the branch that was not chosen"
    deadline = time.monotonic() + LIVE_SECONDS
    while not (started := airflow.runs("machine_watch")):
        assert time.monotonic() < deadline, "no run was started by the asset"
        time.sleep(0.5)
    assert airflow.wait_for_run("machine_watch", started[0], timeout=120) == "success"


def test_the_check_of_dags_has_what_this_airflow_has(laptop: Laptop, tmp_path: Path) -> None:
    assert re.search(r"^\d+ valid DAGs", laptop.make("dev-check"), re.MULTILINE)
    key = f"city_{secrets.token_hex(4)}"
    dag = tmp_path / "needs.py"
    dag.write_text(
        "# airflow\nfrom dag_builder import build_dag\nbuild_dag('needs', {'tasks': {'say': {\n"
        f"'operator': 'bash', 'bash_command': '{{{{ var.value.{key} }}}}',\n'pool': 'lake',\n"
        "'queue': 'gpu',\n'execution_timeout': '2h',\n}, 'load': {'operator': 'sql', 'sql': '',\n"
        "'conn_id': 'wharehouse'}, 'loaded': {'operator': 'sql', 'sql': '',\n"
        "'conn_id': 'warehouse'}}})\n"
    )

    def problems() -> dict[str, int]:
        described = tmp_path / "cluster.json"
        python = (sys.executable, "-m")
        laptop.run(*python, "tools.describe_cluster", "laptop", str(described))
        done = subprocess.run(
            [*python, "dag_builder", "check", "--format=json", "--cluster", described, dag],
            env={**os.environ, "AIRFLOW_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=False,
            timeout=UP_SECONDS,
        )
        assert done.returncode == 1, done.stderr
        return {one["path"]: one["line"] for one in json.loads(done.stdout)["problems"]}

    lacking = {
        "needs.tasks.say.bash_command": 4,
        "needs.tasks.say.pool": 5,
        "needs.tasks.say.queue": 6,
        "needs.tasks.load.conn_id": 9,
    }
    assert problems() == lacking
    laptop.airflow().set_variable(key, "Paris")
    del lacking["needs.tasks.say.bash_command"]
    assert problems() == lacking


def test_orders_that_are_loaded_twice_are_there_once(laptop: Laptop) -> None:
    count = "SELECT count(*), sum(amount) FROM shop.orders"
    before = laptop.sql("warehouse", count)
    assert int(before.split("|")[0]) > 100
    airflow = laptop.airflow()
    run = airflow.trigger("orders_etl")
    assert airflow.wait_for_run("orders_etl", run, timeout=120) == "success"
    assert laptop.sql("warehouse", count) == before


def test_the_report_s_picture_is_shown_to_who_is_signed_in(laptop: Laptop) -> None:
    airflow = laptop.airflow()
    run = airflow.trigger("cluster_report")
    assert airflow.wait_for_run("cluster_report", run, timeout=120) == "success"
    (draw,) = (t for t in airflow.tasks("cluster_report", run) if t.task_id == "draw")
    log = airflow.log("cluster_report", run, draw)
    hosts = {task.hostname for task in airflow.tasks("cluster_check", laptop.first_run)}
    assert all(host in log for host in hosts), "its table has a line for each worker"
    path = f"/pictures/cluster_report/{run}"
    page = airflow._get(path).text
    (encoded,) = re.findall(r'<img alt="draw" src="data:image/png;base64,([^"]+)">', page)
    assert base64.b64decode(encoded).startswith(b"\x89PNG\r\n")
    assert "<img" not in airflow._get(f"/pictures/cluster_check/{laptop.first_run}").text
    assert requests.get(f"{airflow.url}{path}", timeout=30).status_code == 401


def test_tasks_read_the_history_and_nothing_else_of_airflows_database(laptop: Laptop) -> None:
    assert int(laptop.history("SELECT count(hostname) FROM task_instance")) > 0
    for refused in (
        "SELECT * FROM task_instance",
        "SELECT count(rendered_map_index) FROM task_instance",
        "SELECT count(*) FROM connection",
        "SELECT count(*) FROM ab_user",
        "DELETE FROM task_instance",
        "CREATE TABLE mine (n int)",
        "CREATE TEMP TABLE mine (n int)",
    ):
        with pytest.raises(AssertionError, match="permission denied"):
            laptop.history(refused)


def test_flower_shows_the_workers_to_who_signs_in(laptop: Laptop) -> None:
    url = f"http://127.0.0.1:{laptop.flower_port}/api/workers?refresh=1"
    assert requests.get(url, timeout=10).status_code == 401
    credentials = ("admin", laptop.secret("flower_password"))
    assert len(requests.get(url, auth=credentials, timeout=30).json()) == 2


def test_flower_forgets_a_worker_that_has_left(laptop: Laptop) -> None:
    """On its page and in its API."""
    credentials = ("admin", laptop.secret("flower_password"))

    def listed(path: str) -> int:
        url = f"http://127.0.0.1:{laptop.flower_port}/{path}"
        answer = requests.get(url, auth=credentials, timeout=30).json()
        return len(answer.get("data", answer))

    for workers in (1, 2):
        laptop.make("dev", f"WORKERS={workers}")
        deadline = time.monotonic() + LIVE_SECONDS
        for path in ("workers?json=1", "api/workers?refresh=1"):
            while (count := listed(path)) != workers:
                assert time.monotonic() < deadline, f"{path}: {count} workers, not {workers}"
                time.sleep(0.5)


SHOWS_SECRETS = """
import base64, os, subprocess, time, urllib.parse
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import BaseHook, Variable, dag, task


@dag(schedule=None, is_paused_upon_creation=False)
def shows_secrets() -> None:
    @task
    def show() -> str:
        print("the environment:", dict(os.environ))
        for file in Path("/run/secrets").iterdir():
            value = file.read_text()
            print("raw", value, "url", urllib.parse.quote(value, safe=""))
            print("base64", base64.b64encode(value.encode()).decode())
            subprocess.run(["echo", "child", value], check=True)
        uri = BaseHook.get_connection("warehouse").get_uri()
        print("connection", uri)
        print("variable", Variable.get("of_the_api"), BaseHook.get_connection("of_the_api").host)
        print("was shown")
        time.sleep(20)
        return BaseHook.get_connection("airflow_history").schema

    at = "{{ (dag_run.run_after + macros.timedelta(seconds=30)).isoformat() }}"
    DateTimeSensorAsync(task_id="waits", target_time=at)
    show() >> BashOperator(task_id="shell", bash_command="env; cat /run/secrets/*; echo was shown")


shows_secrets()
"""


def forms(laptop: Laptop) -> dict[str, str]:
    """Every form in which a secret could be found → the secret's name."""
    found: dict[str, str] = {}
    for name in SECRET_NAMES:
        value = laptop.secret(name)
        encoded = base64.b64encode(value.encode()).decode()
        found |= dict.fromkeys((value, quote(value, safe=""), encoded.rstrip("=")), name)
    return found


def secrets_in(laptop: Laptop, text: str) -> set[str]:
    return {name for form, name in forms(laptop).items() if form in text}


def test_no_secret_is_in_an_environment_a_log_or_what_docker_shows(laptop: Laptop) -> None:
    """A task prints all that it can reach; a deferred task runs without the key of the API."""
    (laptop.dags / "shows_secrets.py").write_text(SHOWS_SECRETS)
    airflow = laptop.airflow()
    for path, body in (
        ("variables", {"key": "of_the_api", "value": "a-variable"}),
        ("connections", {"connection_id": "of_the_api", "conn_type": "http", "host": "a-host"}),
    ):
        airflow._call("POST", f"/api/v2/{path}", json=body)
    airflow.wait_for_dag("shows_secrets", timeout=LIVE_SECONDS)
    run = airflow.trigger("shows_secrets")
    wait_for_log(airflow, run, "waits", "deferred", ":8794/log/", "trigger starting")
    wait_for_log(airflow, run, "show", "running", "was shown")
    assert_no_process_has_a_secret(laptop)
    assert_flower_shows_no_argument(laptop)
    assert airflow.wait_for_run("shows_secrets", run, timeout=LIVE_SECONDS) == "success"
    logs = {
        t.task_id: airflow.log("shows_secrets", run, t) for t in airflow.tasks("shows_secrets", run)
    }
    assert "a-variable a-host" in logs["show"]
    assert re.search(r"connection postgres://warehouse_[0-9a-f]{12}:\*\*\*@", logs["show"])
    assert all("was shown" in logs[task] for task in ("show", "shell"))
    for log in logs.values():
        assert secrets_in(laptop, log) == set()
    printed = laptop.compose("logs", "--no-color")
    assert secrets_in(laptop, printed) == set()


def wait_for_log(airflow: Airflow, run: str, task_id: str, state: str, *words: str) -> None:
    """Wait until the web server shows the words in the log of a task that has not ended."""
    deadline = time.monotonic() + LIVE_SECONDS
    while True:
        tasks = airflow.tasks("shows_secrets", run)
        found = [task for task in tasks if task.task_id == task_id and task.state == state]
        log = airflow.log("shows_secrets", run, found[0]) if found else ""
        if found and all(word in log for word in words):
            return
        assert time.monotonic() < deadline, (tasks, log)
        time.sleep(0.5)


def assert_no_process_has_a_secret(laptop: Laptop) -> None:
    for container in laptop.containers():
        assert secrets_in(laptop, json.dumps(container.attrs)) == set(), container.name
        if container.status != "running":
            continue
        script = "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'"
        # Attached: the engine may not have written all of a log when its container has ended.
        read = subprocess.run(
            [
                *("docker", "run", "--rm", "--pid", f"container:{container.id}"),
                *("--cap-add", "SYS_PTRACE"),  # a task's process hides from its own user
                *(project_images.reference("base"), "sh", "-c", script),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=True,
            timeout=60,
        )
        printed = read.stdout.decode(errors="replace")
        assert container.attrs["Path"] in printed  # the program itself: everything was read
        assert "Permission denied" not in printed
        assert secrets_in(laptop, printed) == set(), container.name


def assert_flower_shows_no_argument(laptop: Laptop) -> None:
    """An argument of a Celery task holds the token for Airflow's API, which starts with eyJ."""
    url = f"http://127.0.0.1:{laptop.flower_port}"
    signed_in = ("admin", laptop.secret("flower_password"))
    tasks = requests.get(f"{url}/api/tasks", auth=signed_in, timeout=30).json()
    assert any(task["state"] == "STARTED" for task in tasks.values())
    workers = requests.get(f"{url}/api/workers?refresh=1", auth=signed_in, timeout=30).json()
    paths = ["/", "/metrics", "/tasks", "/api/tasks", "/api/queues/length"]
    paths += [f"/task/{task}" for task in tasks] + [f"/api/task/info/{task}" for task in tasks]
    paths += [f"/worker/{worker}" for worker in workers]
    paths += [f"/api/workers?refresh=1&workername={worker}" for worker in workers]
    for path in paths:
        assert requests.get(url + path, timeout=30).status_code == 401, path
        answer = requests.get(url + path, auth=signed_in, timeout=30)
        assert answer.status_code == 200, path
        assert "eyJ" not in answer.text, path
        assert "execute_workload" in answer.text or not path.startswith(("/task/", "/api/task"))


EXEC = {
    "api-server": ("db check", "Connection successful"),
    "scheduler": ("tasks list cluster_check", "count"),
    "dag-processor": ("dags list", "cluster_check"),
    "triggerer": ("connections get warehouse", "postgres"),
}


@pytest.mark.parametrize("service", EXEC)
def test_airflow_s_commands_work_by_exec_as_they_are(laptop: Laptop, service: str) -> None:
    command, wanted = EXEC[service]
    code, printed = laptop.exec(service, "airflow", *command.split())
    assert code == 0, printed
    assert wanted in printed


def test_an_option_with_a_secret_is_shown_on_request(laptop: Laptop) -> None:
    code, printed = laptop.exec(
        "scheduler", "airflow", "config", "get-value", "celery", "broker_url"
    )
    assert code == 0, printed
    assert quote(laptop.secret("redis_password"), safe="") in printed


def test_a_worker_reports_that_it_has_no_access_to_the_database(laptop: Laptop) -> None:
    code, printed = laptop.exec("worker", "airflow", "db", "check")
    assert code != 0
    assert "this-service-has-no-access-to-the-database-of-airflow" in printed
    code, printed = laptop.exec("worker", "airflow", "connections", "get", "warehouse")
    assert code == 0, printed


def test_no_service_has_a_privilege_or_can_change_its_programs(laptop: Laptop) -> None:
    for container in laptop.containers():
        if container.status != "running":
            continue
        script = (
            "grep -E 'Cap(Bnd|Eff|Prm)' /proc/1/status; for folder in / /opt /opt/airflow /usr/bin"
            " /var/lib /etc; do touch $folder/x 2>&1 && echo wrote $folder; done; true"
        )
        printed = container.exec_run(["sh", "-c", script]).output.decode()
        assert set(re.findall(r"Cap\w+:\s+(\w+)", printed)) == {"0" * 16}, container.name
        assert "wrote" not in printed, container.name


def test_a_task_has_places_to_write_to_that_are_on_disk(laptop: Laptop) -> None:
    script = (
        "import os, pathlib, matplotlib, tempfile\n"
        "for folder in (pathlib.Path.home(), tempfile.gettempdir(), '/opt/airflow/logs'):\n"
        "    tempfile.NamedTemporaryFile(dir=folder).write(b'x')\n"
        "print(pathlib.Path.home(), matplotlib.get_cachedir())\n"
        "print(pathlib.Path('/proc/mounts').read_text())\n"
    )
    code, printed = laptop.exec("worker", "python", "-c", script)
    assert code == 0, printed
    assert "/home/airflow /home/airflow/.cache/matplotlib" in printed
    assert not re.search(r"^tmpfs (/tmp|/home/airflow) ", printed, re.MULTILINE)


def test_an_edited_dag_is_live_without_a_build(laptop: Laptop) -> None:
    (laptop.dags / "added.py").write_text(
        "from airflow.sdk import dag, task\n\n\n"
        "@dag(schedule=None, is_paused_upon_creation=False)\n"
        "def added() -> None:\n"
        "    @task\n"
        "    def answer() -> int:\n"
        "        return 6 * 7\n\n"
        "    answer()\n\n\n"
        "added()\n"
    )
    airflow = laptop.airflow()
    airflow.wait_for_dag("added", timeout=LIVE_SECONDS)
    run = airflow.trigger("added")
    assert airflow.wait_for_run("added", run, timeout=LIVE_SECONDS) == "success"


def test_an_edit_of_the_builder_is_live_too(laptop: Laptop) -> None:
    (laptop.dags / "live.py").write_text(
        "import dag_builder\n\n"
        "dag_builder.build_dag('live', {'tasks': {'a': {'operator': 'empty'}}},"
        " description=getattr(dag_builder, 'EDITED', 'as it was'))\n"
    )
    airflow = laptop.airflow()
    airflow.wait_for_dag("live", timeout=LIVE_SECONDS)
    with (laptop.builder / "__init__.py").open("a") as module:
        module.write("\nEDITED = 'edited'\n")
    deadline = time.monotonic() + LIVE_SECONDS
    while airflow._get("/api/v2/dags/live").json()["description"] != "edited":
        assert time.monotonic() < deadline
        time.sleep(0.5)


@pytest.mark.timeout(120)
def test_the_logs_can_be_followed(laptop: Laptop) -> None:
    """`make dev-logs` prints the log of every service, and continues until it is interrupted.

    Compose 2.26 erases the terminal's line before each of its own.
    """
    wanted = {"postgres", "redis", "api-server", "scheduler", "dag-processor", "worker", "flower"}
    seen: set[str] = set()
    following = subprocess.Popen(
        ["make", "--no-print-directory", "dev-logs"],
        cwd=ROOT,
        env={**os.environ, **laptop.environment},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        for line in following.stdout or ():
            printed = line.removeprefix("\x1b[2K")
            seen |= {name for name in wanted if printed.startswith(f"{name}-")}
            if seen == wanted:
                break
        assert seen == wanted
        assert following.poll() is None
    finally:
        os.killpg(following.pid, signal.SIGINT)
        following.communicate(timeout=30)


DEFERRED = """
from datetime import timedelta

from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import dag


@dag(schedule=None, is_paused_upon_creation=False)
def deferred() -> None:
    for seconds in (15, {longer}):
        TimeDeltaSensor(
            task_id=f"after_{{seconds}}", delta=timedelta(seconds=seconds), deferrable=True
        )


deferred()
"""


@pytest.mark.parametrize(
    "absence", [SHORT_ABSENCE_SECONDS, pytest.param(ABSENCE_SECONDS, marks=pytest.mark.chaos)]
)
def test_tasks_outlive_absences_of_the_api_server_and_of_the_database(
    laptop: Laptop, absence: int
) -> None:
    """Some tasks start, some end, some run, some are deferred; none fails, none is run twice."""
    (laptop.dags / "deferred.py").write_text(DEFERRED.format(longer=absence + 30))
    airflow = laptop.airflow()
    airflow.wait_for_dag("deferred", timeout=LIVE_SECONDS)
    waiting = airflow.trigger("deferred")
    wait_for_state(airflow, "deferred", waiting, "deferred")
    runs = [airflow.trigger("cluster_check", {"seconds": seconds}) for seconds in (1, 20, 40)]
    wait_for_running(airflow, runs[2])
    laptop.compose("restart", "api-server")
    laptop.compose("restart", "scheduler")
    laptop.compose("stop", "postgres", "api-server")
    time.sleep(absence)
    laptop.compose("start", "postgres", "api-server")
    assert requests.get(f"{airflow.url}/api/v2/version", timeout=UP_SECONDS).status_code == 200
    for run in runs:
        assert airflow.wait_for_run("cluster_check", run, timeout=120) == "success"
        tries = {task.task_id: task.try_number for task in airflow.tasks("cluster_check", run)}
        assert set(tries.values()) == {1}, tries
    assert airflow.wait_for_run("deferred", waiting, timeout=300) == "success"
    assert {task.try_number for task in airflow.tasks("deferred", waiting)} == {1}


def wait_for_state(airflow: Airflow, dag: str, run: str, state: str) -> None:
    """Wait until all tasks of the run are in this state."""
    deadline = time.monotonic() + LIVE_SECONDS
    while {task.state for task in airflow.tasks(dag, run)} != {state}:
        assert time.monotonic() < deadline, airflow.tasks(dag, run)
        time.sleep(0.5)


def test_a_task_that_was_queued_and_not_sent_is_sent_by_the_next_scheduler(laptop: Laptop) -> None:
    """As after a scheduler that was killed in between; a task that was sent is not sent again."""
    airflow = laptop.airflow()
    laptop.compose("stop", "worker")
    lost, kept = (airflow.trigger("cluster_check") for _ in range(2))
    deadline = time.monotonic() + LIVE_SECONDS
    while laptop.redis("llen", QUEUE) != "2":
        assert time.monotonic() < deadline, "the tasks were not sent"
        time.sleep(0.5)
    laptop.redis("rpop", QUEUE)
    laptop.compose("restart", "scheduler")
    while laptop.redis("llen", QUEUE) != "2":
        assert time.monotonic() < deadline + LIVE_SECONDS, "the lost task was not sent again"
        time.sleep(0.5)
    laptop.compose("start", "worker")
    for run in (lost, kept):
        assert airflow.wait_for_run("cluster_check", run, timeout=120) == "success"
        assert {task.try_number for task in airflow.tasks("cluster_check", run)} == {1}


def test_a_worker_that_is_stopped_finishes_its_task(laptop: Laptop) -> None:
    airflow = laptop.airflow()
    run = airflow.trigger("cluster_check", {"seconds": 20})
    container = wait_for_running(airflow, run)[0].hostname
    subprocess.run(["docker", "stop", container], check=True, capture_output=True, timeout=120)
    assert airflow.wait_for_run("cluster_check", run, timeout=120) == "success"
    counted = [t for t in airflow.tasks("cluster_check", run) if t.task_id == "count"]
    assert container in {task.hostname for task in counted}
    assert {task.try_number for task in counted} == {1}
    log = airflow.log(
        "cluster_check", run, next(task for task in counted if task.hostname == container)
    )
    assert "counted" in log, "the log of a stopped worker can still be read"


def wait_for_running(airflow: Airflow, run: str) -> list[Any]:
    deadline = time.monotonic() + LIVE_SECONDS
    while not (running := running_counts(airflow, run)):
        assert time.monotonic() < deadline, airflow.tasks("cluster_check", run)
        time.sleep(0.5)
    return running


def running_counts(airflow: Airflow, run: str) -> list[Any]:
    tasks = airflow.tasks("cluster_check", run)
    return [task for task in tasks if task.task_id == "count" and task.state == "running"]


def test_what_was_run_is_kept_over_down(laptop: Laptop) -> None:
    """What an older release's database did not allow its tasks is allowed at the next start.

    Its default pool loses Airflow's limit. A limit that the user sets stays.
    """
    slots = "slot_pool SET slots = 128 WHERE pool = 'default_pool'"
    laptop.sql("airflow", f"DROP TABLE dairflow_default_pool; UPDATE {slots}")
    laptop.sql("airflow", "REVOKE ALL ON task_instance FROM warehouse")
    laptop.sql("airflow", "REVOKE ALL ON DATABASE airflow FROM warehouse")
    scratch = {
        mount["Name"]
        for container in laptop.containers()
        for mount in container.attrs["Mounts"]
        if mount["Type"] == "volume" and mount["Destination"] == "/home/airflow"
    }
    assert scratch
    laptop.make("dev-down")
    assert scratch.isdisjoint(volume.name for volume in docker.from_env().volumes.list())
    laptop.make("dev", "WORKERS=1")
    runs = laptop.airflow()._get("/api/v2/dags/cluster_check/dagRuns").json()
    assert runs["total_entries"] >= 1
    assert int(laptop.history("SELECT count(hostname) FROM task_instance")) > 0
    shown = "SELECT slots FROM slot_pool WHERE pool = 'default_pool'"
    assert laptop.sql("airflow", shown) == "-1"
    laptop.sql("airflow", f"UPDATE {slots}")
    laptop.compose("run", "--rm", "migrate")
    assert laptop.sql("airflow", shown) == "128"


def test_only_loopback_can_reach_the_laptop_s_services(laptop: Laptop) -> None:
    rows = laptop.compose("ps", "--format", "json").splitlines()
    published = [
        port
        for row in rows
        for port in json.loads(row)["Publishers"] or []
        if port["PublishedPort"]
    ]
    assert {port["URL"] for port in published} == {"127.0.0.1"}
    assert {port["TargetPort"] for port in published} == {8080, 5555}


def test_refused_logins_are_limited_for_an_address(laptop: Laptop) -> None:
    """Whatever address a request claims to come from. No later test of this file logs in."""
    url = f"http://127.0.0.1:{laptop.web_port}/auth/token"

    def sign_in(password: str, claimed: int) -> int:
        body = {"username": "admin", "password": password}
        headers = {"X-Forwarded-For": f"203.0.113.{claimed}"}
        return requests.post(url, json=body, headers=headers, timeout=30).status_code

    assert [sign_in("a guess", n) for n in range(5)] == [401] * 5
    assert sign_in(laptop.secret("admin_password"), 99) == 429


def test_refused_logins_on_the_page_are_limited_for_an_address(laptop: Laptop) -> None:
    """The page's limit is FAB's; the address must be the one that reaches `web`."""
    url = f"http://127.0.0.1:{laptop.web_port}/auth/login/"
    with requests.Session() as browser:
        form = browser.get(url, timeout=30).text
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form)
        assert token, form

        def sign_in(claimed: int) -> int:
            body = {"username": "admin", "password": "a guess", "csrf_token": token[1]}
            headers = {"X-Forwarded-For": f"203.0.113.{claimed}"}
            answer = browser.post(
                url, data=body, headers=headers, timeout=30, allow_redirects=False
            )
            return answer.status_code

        answers = [sign_in(n) for n in range(6)]
    too_many = requests.codes.too_many_requests
    assert [answer == too_many for answer in answers] == [False] * 5 + [True], answers


def test_a_reset_leaves_nothing(laptop: Laptop, docker_client: docker.DockerClient) -> None:
    """The last test of this file: the laptop is removed by it."""
    laptop.make("dev-reset")
    mine = {"filters": {"label": f"com.docker.compose.project={laptop.name}"}}
    assert docker_client.containers.list(all=True, **mine) == []
    assert docker_client.volumes.list(**mine) == []
    assert docker_client.networks.list(**mine) == []
