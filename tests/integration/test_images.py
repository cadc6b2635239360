"""The images of the stack's own services, each run by itself."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import pytest
import requests

from infra.images import project_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker.models.containers import Container

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
LABEL = "dairflow.test"
START_SECONDS = 60
NAMES = ("airflow", "postgres", "redis", "registry", "web")
TMP = "/tmp"  # noqa: S108 - in a container
STOP = f"{TMP}/stop"
HOSTILE = "a'b\"c d\\e/f@g:h%i$j"


@pytest.fixture(scope="module")
def images(docker_client: docker.DockerClient) -> dict[str, str]:
    """The images' names, as the compose file has them; set-up has made them."""
    names = {
        name: os.environ.get(f"DAIRFLOW_{name.upper()}_IMAGE", project_images.reference(name))
        for name in NAMES
    }
    for reference in names.values():
        docker_client.images.get(reference)
    return names


@pytest.fixture
def start(
    docker_client: docker.DockerClient, images: dict[str, str], test_mark: str, tmp_path: Path
) -> Iterator[Callable[..., Container]]:
    """Start an image with secrets; everything is removed at the end of the test."""
    started: list[Container] = []

    def run(name: str, *command: str, secrets: dict[str, str] | None = None, **options: Any) -> Any:
        folder = tmp_path / f"secrets-{len(started)}"
        folder.mkdir()
        for secret, value in (secrets or {}).items():
            (folder / secret).write_text(value)
        volumes = {str(folder): {"bind": "/run/secrets", "mode": "ro"}}
        volumes |= options.pop("volumes", {})
        container = docker_client.containers.run(
            images[name],
            list(command) or None,
            volumes=volumes,
            labels={LABEL: test_mark},
            detach=True,
            **options,
        )
        started.append(container)
        return container

    yield run
    for container in started:
        with contextlib.suppress(docker.errors.NotFound):
            container.remove(force=True, v=True)


@pytest.fixture
def volume(docker_client: docker.DockerClient, test_mark: str) -> Iterator[str]:
    """A named volume; it is removed after the containers."""
    made = docker_client.volumes.create(
        f"dairflow-test-{test_mark}-{time.monotonic_ns()}", labels={LABEL: test_mark}
    )
    yield made.name
    for container in docker_client.containers.list(all=True, filters={"volume": made.name}):
        container.remove(force=True)
    made.remove()


def wait_until(container: Container, command: list[str]) -> None:
    """Wait until a command succeeds in a container that has to keep running meanwhile."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        container.reload()
        assert container.status == "running", container.logs().decode()
        answer = container.exec_run(command)
        if answer.exit_code == 0:
            return
        if time.monotonic() > deadline:
            message = (
                f"{command} kept failing: {answer.output.decode()}\n{container.logs().decode()}"
            )
            raise TimeoutError(message)
        time.sleep(0.2)


def output_of(container: Container, *command: str, **options: Any) -> str:
    answer = container.exec_run(list(command), **options)
    assert answer.exit_code == 0, answer.output.decode()
    return answer.output.decode().strip()


def query(container: Container, role: str, password: str, database: str) -> tuple[int, str]:
    """Sign in to PostgreSQL over TCP, as the other services do."""
    answer = container.exec_run(
        ["psql", "-h", "127.0.0.1", "-U", role, "-d", database, "-tAc", "SELECT current_user"],
        environment={"PGPASSWORD": password},
    )
    return answer.exit_code, answer.output.decode().strip()


PASSWORDS = {
    "postgres_password": "one",
    "pooler_password": "three",
}
READY = ["pg_isready", "-q", "-h", "127.0.0.1", "-U", "airflow"]


def test_postgres_keeps_its_data_and_takes_new_passwords(
    start: Callable[..., Container], volume: str
) -> None:
    data = {volume: {"bind": "/var/lib/postgresql/data"}}
    first = start(
        "postgres",
        secrets=PASSWORDS | {"postgres_password": HOSTILE},
        volumes=data,
    )
    wait_until(first, READY)
    assert query(first, "airflow", HOSTILE, "airflow") == (0, "airflow")
    output_of(
        first,
        *("psql", "-h", "127.0.0.1", "-U", "airflow", "-c", "CREATE TABLE kept (n int)"),
        environment={"PGPASSWORD": HOSTILE},
    )
    first.stop(timeout=30)
    assert "database system is shut down" in first.logs().decode()

    second = start(
        "postgres",
        secrets=PASSWORDS | {"postgres_password": "rotated"},
        volumes=data,
    )
    wait_until(second, READY)
    assert query(second, "airflow", HOSTILE, "airflow")[0] != 0
    assert query(second, "airflow", "rotated", "airflow") == (0, "airflow")
    assert output_of(
        second,
        *("psql", "-h", "127.0.0.1", "-U", "airflow", "-tAc", "SELECT to_regclass('kept')"),
        environment={"PGPASSWORD": "rotated"},
    )


def test_the_tasks_role_has_no_way_into_the_metadata(start: Callable[..., Container]) -> None:
    """The migration permits the warehouse's role to read a few columns; see test_compose.py."""
    container = start("postgres", secrets=PASSWORDS)
    wait_until(container, READY)
    assert query(container, "warehouse", "three", "warehouse") == (0, "warehouse")
    assert query(container, "warehouse", "three", "airflow")[0] != 0
    assert query(container, "postgres", "one", "postgres")[0] != 0


def test_a_volume_of_an_older_release_gets_the_warehouse(
    start: Callable[..., Container], volume: str
) -> None:
    """Also if the start that should have made it was interrupted after the role."""
    data = {volume: {"bind": "/var/lib/postgresql/data"}}
    older = start("postgres", secrets=PASSWORDS, volumes=data)
    wait_until(older, READY)
    output_of(
        older,
        *("bash", "-c", "sed -i /warehouse/d /var/lib/postgresql/data/17/pg_hba.conf"),
    )
    output_of(older, "psql", "-c", "DROP DATABASE warehouse")
    older.stop(timeout=30)
    newer = start("postgres", secrets=PASSWORDS, volumes=data)
    wait_until(newer, READY)
    assert query(newer, "warehouse", "three", "warehouse") == (0, "warehouse")
    output_of(newer, "psql", "-c", "DROP DATABASE warehouse", "-c", "DROP ROLE warehouse")
    newer.stop(timeout=30)
    newest = start("postgres", secrets=PASSWORDS, volumes=data)
    wait_until(newest, READY)
    assert query(newest, "warehouse", "three", "warehouse") == (0, "warehouse")
    assert query(newest, "airflow", "one", "airflow") == (0, "airflow")


def test_the_results_of_an_older_release_are_removed(
    start: Callable[..., Container], volume: str
) -> None:
    """They were pickles in a database of their own; everything else stays, also without them."""
    data = {volume: {"bind": "/var/lib/postgresql/data"}}
    older = start("postgres", secrets=PASSWORDS, volumes=data)
    wait_until(older, READY)
    for statement in (
        "CREATE ROLE celery_results LOGIN PASSWORD 'two'",
        "CREATE DATABASE celery_results OWNER celery_results",
    ):
        output_of(older, "psql", "-c", statement)
    output_of(older, "psql", "-d", "celery_results", "-c", "CREATE TABLE celery_taskmeta (r bytea)")
    older.stop(timeout=30)
    names = "SELECT datname FROM pg_database UNION ALL SELECT rolname FROM pg_roles"
    for _ in range(2):
        newer = start("postgres", secrets=PASSWORDS, volumes=data)
        wait_until(newer, READY)
        assert "celery_results" not in output_of(newer, "psql", "-tAc", names).splitlines()
        assert query(newer, "airflow", "one", "airflow") == (0, "airflow")
        newer.stop(timeout=30)


def test_postgres_does_not_start_with_half_of_its_passwords(
    start: Callable[..., Container],
) -> None:
    container = start("postgres", secrets=PASSWORDS | {"pooler_password": ""})
    assert container.wait(timeout=START_SECONDS)["StatusCode"] == 1
    assert "the secret pooler_password is empty" in container.logs().decode()


def test_an_interrupted_first_start_of_postgres_is_repeated(
    start: Callable[..., Container], volume: str
) -> None:
    data = {volume: {"bind": "/var/lib/postgresql/data"}}
    cut_off = start(
        "postgres",
        secrets=PASSWORDS,
        volumes=data,
        entrypoint=["bash", "-c", "initdb -D /var/lib/postgresql/data/new >/dev/null"],
    )
    assert cut_off.wait(timeout=START_SECONDS)["StatusCode"] == 0
    again = start("postgres", secrets=PASSWORDS, volumes=data)
    wait_until(again, READY)
    assert query(again, "airflow", "one", "airflow") == (0, "airflow")


def test_redis_requires_its_password_and_keeps_its_queue(
    start: Callable[..., Container], volume: str
) -> None:
    data = {volume: {"bind": "/data"}}
    secrets = {"redis_password": HOSTILE}
    healthy = ["/opt/dairflow/healthcheck.sh"]
    first = start("redis", secrets=secrets, volumes=data)
    wait_until(first, healthy)
    assert "NOAUTH" in output_of(first, "redis-cli", "get", "x")
    output_of(first, "redis-cli", "set", "kept", "1", environment={"REDISCLI_AUTH": HOSTILE})
    assert HOSTILE not in str(first.top())
    first.kill("KILL")
    second = start("redis", secrets=secrets, volumes=data)
    wait_until(second, healthy)
    assert output_of(
        second, "redis-cli", "get", "kept", environment={"REDISCLI_AUTH": HOSTILE}
    ).endswith("1")


@pytest.fixture
def upstream(
    docker_client: docker.DockerClient, test_mark: str, start: Callable[..., Container]
) -> Iterator[Callable[[], Container]]:
    """Start the server behind the proxy, as ``api-server`` on a network of its own."""
    network = docker_client.networks.create(
        f"dairflow-test-{test_mark}-{time.monotonic_ns()}", labels={LABEL: test_mark}
    )
    script = (
        "import http.server\n"
        "class Echo(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "        self.wfile.write(str(self.headers).encode() + body)\n"
        "    do_POST = do_GET\n"
        "http.server.ThreadingHTTPServer(('', 8080), Echo).serve_forever()"
    )

    def run() -> Container:
        container = start("airflow", "python", "-c", script)
        network.connect(container, aliases=["api-server"])
        return container

    run.network = network  # type: ignore[attr-defined]
    yield run
    network.reload()
    for container in network.containers:
        container.remove(force=True)
    network.remove()


def test_the_proxy_holds_requests_until_an_api_server_answers(
    start: Callable[..., Container], upstream: Any
) -> None:
    """Also one with a body, which Caddy by itself does not send again; nothing is sent twice."""
    proxy = start("web", network=upstream.network.name, ports={"8080/tcp": ("127.0.0.1", None)})
    wait_until(proxy, ["/opt/dairflow/healthcheck.sh"])
    proxy.reload()
    url = f"http://127.0.0.1:{proxy.ports['8080/tcp'][0]['HostPort']}/any?x=1"
    headers = {"X-Forwarded-For": "192.0.2.1", "Host": "airflow.test:8080"}
    with ThreadPoolExecutor(2) as threads:
        get = threads.submit(requests.get, url, headers=headers, timeout=60)
        post = threads.submit(requests.post, url, data="b" * 100_000, timeout=60)
        time.sleep(3)
        assert not get.done()
        assert not post.done()
        first = upstream()
        assert (get.result().status_code, post.result().status_code) == (200, 200)
    assert post.result().text.endswith("b" * 100_000)
    seen = dict(line.split(": ", 1) for line in get.result().text.splitlines() if ": " in line)
    assert seen["Host"] == seen["X-Forwarded-Host"] == "airflow.test:8080"
    assert seen["X-Forwarded-Proto"] == "http"
    assert "192.0.2.1" not in seen["X-Forwarded-For"], "a client does not choose its own address"
    first.remove(force=True)
    with ThreadPoolExecutor(1) as threads:
        again = threads.submit(requests.get, url, timeout=60)
        upstream()
        assert again.result().status_code == 200
    assert proxy.logs(stdout=True, stderr=False).decode().count('"level":"error"') == 0


def test_the_registry_answers_the_api(start: Callable[..., Container]) -> None:
    container = start("registry", ports={"5000/tcp": ("127.0.0.1", None)})
    container.reload()
    port = int(container.ports["5000/tcp"][0]["HostPort"])
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            answer = requests.get(f"http://127.0.0.1:{port}/v2/", timeout=5)
            break
        except requests.ConnectionError:
            assert time.monotonic() < deadline, container.logs().decode()
            time.sleep(0.2)
    assert answer.status_code == 200
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


SCHEDULER_READS = """
import json, pathlib, pickle, sys, types
import redis
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.providers.celery.executors.celery_executor import CeleryExecutor
from celery.result import AsyncResult

executor = CeleryExecutor()
executor.start()
backend = executor.celery_app.backend
raw = redis.Redis.from_url(backend.url)
mark = pathlib.Path("/tmp/executed")

class Executed:
    def __reduce__(self):
        return pathlib.Path.touch, (mark,)

def failure(module, kind, message):
    result = {"exc_module": module, "exc_type": kind, "exc_message": message}
    return json.dumps({"task_id": "x", "status": "FAILURE", "result": result, "children": [[1]]})

crafted = {
    "pickle": pickle.dumps(Executed()),
    "os.system": failure("os", "system", ["touch /tmp/executed"]),
    "Popen": failure("subprocess", "Popen", [["touch", "/tmp/executed"]]),
    "SystemExit": failure("builtins", "SystemExit", []),
    "no exception": failure("json", "loads", 5),
    "not an exception's fields": json.dumps({"task_id": "x", "status": "FAILURE", "result": 5}),
    "unknown state": json.dumps({"task_id": "x", "status": "NOPE"}),
    "state is a list": json.dumps({"task_id": "x", "status": []}),
    "no state": json.dumps({"task_id": "x"}),
    "no task": json.dumps({"status": "SUCCESS"}),
    "object in a list": "[{}]",
    "null": "null",
    "number": "1" * 4000,
    "text": json.dumps("SUCCESS"),
    "not UTF-8": b"\\xff\\xfe",
    "deep": "[" * 4000,
    "huge": json.dumps({"task_id": "x", "status": "SUCCESS", "result": "x" * 50_000_000}),
}
for name, value in crafted.items():
    raw.set(backend.get_key_for_task(name), value)
raw.rpush(backend.get_key_for_task("a list"), "x")
raw.hset(backend.get_key_for_task("a hash"), "x", "y")
backend.store_result("succeeded", {"secret": "of the task"}, "SUCCESS")
backend.store_result("failed", ValueError("secret of the task"), "FAILURE", traceback="Traceback")
backend.mark_as_started("started", pid=1)

def key(name):
    return TaskInstanceKey("dag", name, "run", 1)

names = [*crafted, "a list", "a hash", "succeeded", "failed", "started", "missing"]
for name in names:
    executor.workloads[key(name)] = AsyncResult(name, app=executor.celery_app)
    executor.running.add(key(name))
executor.sync()
seen = {name: str(executor.event_buffer.get(key(name), ["running"])[0]) for name in names}
executor.event_buffer.clear()
tis = [types.SimpleNamespace(external_executor_id=name, key=key(name), id=name) for name in names]
assert executor.try_adopt_task_instances(tis) == []
adopted = {name: str(executor.event_buffer.get(key(name), ["running"])[0]) for name in names}
assert adopted == seen, adopted
sys.path.append("/opt/dairflow")
import handover, lost_messages
queued = redis.Redis.from_url(executor.celery_app.conf.broker_url)
message = json.dumps({"headers": {"id": "a message"}})
entries = ["x", "5", "[]", "null", "{}", b"\\xff", "[" * 4000, '{"headers": []}',
           '{"headers": {"id": [1]}}', "[5]", "[[]]", '[{"headers": 5}]']
queued.rpush("nobody", message, *entries)
queued.set("text", "x")
taken = enumerate([*entries, f"[{message}]"])
queued.hset("unacked", mapping={str(number): entry for number, entry in taken})
queues = {"nobody", "text", "nothing", None}
found = [lost_messages.waiting(executor.celery_app, queues)]
found.append(handover.ids_in_broker(executor, queues))
queued.delete("unacked", "nobody")
queued.set("unacked", "x")
found.append(handover.ids_in_broker(executor, queues))
assert found == [{"a message"}, {"a message"}, set()], found
print("read: " + json.dumps({
    "seen": seen,
    "executed": mark.exists(),
    "stored": {n: raw.get(backend.get_key_for_task(n)).decode() for n in ("succeeded", "failed")},
    "seconds": raw.ttl(backend.get_key_for_task("succeeded")),
    "subscribed": raw.pubsub_channels(),
}), flush=True)
sys.stdin.readline()
executor.sync()
print("went on")
"""


class Scheduler:
    """Code that runs in a scheduler's container, beside a broker of its own."""

    def __init__(self, broker: Container, process: subprocess.Popen[str]) -> None:
        self._broker = broker
        self._process = process

    def lines(self, prefix: str) -> Iterator[str]:
        """Return what the code prints after a prefix; Airflow prints on its own as well."""
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith(prefix):
                yield line.removeprefix(prefix).strip()

    def go_on_without_redis(self) -> None:
        assert self._process.stdin
        self._broker.kill("KILL")
        self._process.stdin.write("\n")
        self._process.stdin.flush()


@pytest.fixture
def in_a_scheduler(
    start: Callable[..., Container],
) -> Callable[[str], contextlib.AbstractContextManager[Scheduler]]:
    @contextlib.contextmanager
    def run(code: str) -> Iterator[Scheduler]:
        broker = start("redis", secrets={"redis_password": HOSTILE})
        wait_until(broker, ["/opt/dairflow/healthcheck.sh"])
        keys = {name: f"{name}-of-this-test" for name in ("jwt_secret", "fernet_key")}
        container = start(
            "airflow",
            *("sleep", "infinity"),
            secrets={"redis_password": HOSTILE, **keys},
            network_mode=f"container:{broker.id}",
            environment={"BROKER_ADDRESS": "127.0.0.1:6379"},
        )
        with subprocess.Popen(
            ["docker", "exec", "-i", str(container.id), "python", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            yield Scheduler(broker, process)

    return run


def test_what_a_task_writes_to_redis_neither_runs_code_nor_stops_the_scheduler(
    in_a_scheduler: Callable[[str], contextlib.AbstractContextManager[Scheduler]],
) -> None:
    """The scheduler's own code reads what a task can write, and continues without Redis."""
    with in_a_scheduler(SCHEDULER_READS) as scheduler:
        output = json.loads(next(scheduler.lines("read: "), "null"))
        assert output, "the scheduler's code stopped"
        scheduler.go_on_without_redis()
        assert list(scheduler.lines("went on")) == [""]
    assert not output["executed"]
    running = {name for name, state in output["seen"].items() if state == "running"}
    assert running == {"started", "missing"}
    assert {n for n, state in output["seen"].items() if state == "success"} == {"succeeded"}
    assert set(output["seen"].values()) == {"running", "success", "failed"}
    for stored in output["stored"].values():
        assert "secret of the task" not in stored
        assert len(stored) < 300
    assert 0 < output["seconds"] <= 86_400
    assert output["subscribed"] == []


SCHEDULER_PAUSES = """
import sys, threading, time
sys.path.append("/opt/dairflow")
import wake
from airflow.jobs import scheduler_job_runner
from airflow.providers.celery.executors.celery_executor_utils import app
wake.install()

def pause(seconds):
    begun = time.monotonic()
    scheduler_job_runner.time.sleep(seconds)
    return time.monotonic() - begun

def end_tasks():
    for number in range(5):
        app.backend.store_result(f"task {number}", None, "SUCCESS")

print("pause: nothing ended", pause(1), flush=True)
threading.Timer(1, end_tasks).start()
print("pause: tasks ended", pause(60), flush=True)
time.sleep(1)
print("pause: the rest", pause(1), flush=True)
print("pause: all are seen", pause(1), flush=True)
sys.stdin.readline()
print("pause: no Redis", pause(1), flush=True)
"""


def test_a_task_that_ends_ends_the_schedulers_pause(
    in_a_scheduler: Callable[[str], contextlib.AbstractContextManager[Scheduler]],
) -> None:
    pauses: dict[str, float] = {}
    with in_a_scheduler(SCHEDULER_PAUSES) as scheduler:
        for line in scheduler.lines("pause: "):
            name, _, seconds = line.rpartition(" ")
            pauses[name] = float(seconds)
            if name == "all are seen":
                scheduler.go_on_without_redis()
    assert 1 <= pauses.pop("tasks ended") < 30
    assert set(pauses) == {"nothing ended", "the rest", "all are seen", "no Redis"}
    assert min(seconds for name, seconds in pauses.items() if name != "the rest") >= 1


@pytest.fixture
def idle(start: Callable[..., Container]) -> Container:
    """A container of the Airflow image that does nothing."""
    return start("airflow", "sleep", "infinity", secrets={"redis_password": "x"})


def test_airflow_runs_as_a_user_that_cannot_change_its_code(idle: Container) -> None:
    assert output_of(idle, "id", "-u") == "50000"
    script = "find / -xdev -writable \\( -type d -o -type f \\) -not -path '/proc/*' 2>/dev/null"
    writable = set(output_of(idle, "bash", "-c", f"{script} || true").splitlines())
    assert writable == {"/home/airflow", "/opt/airflow/logs", "/run/lock", TMP, f"/var{TMP}"}


def test_no_program_of_a_service_has_the_rights_of_its_owner(
    start: Callable[..., Container],
) -> None:
    for name in ("airflow", "postgres", "redis"):
        container = start(name, entrypoint=["sleep", "infinity"], user="root")
        script = "find / -xdev -type f -perm /6000"
        assert output_of(container, "bash", "-c", script) == "", name


def test_process_1_reaps_orphans(idle: Container) -> None:
    assert output_of(idle, "cat", "/proc/1/comm") == "tini"
    output_of(
        idle, "bash", "-c", "(sleep 0.2 &) ; sleep 0.6; ! grep -l 'Z (zombie)' /proc/*/status"
    )


def test_a_worker_that_is_stopped_while_it_forks_ends(idle: Container) -> None:
    """It forks as it starts; Airflow's own handler raises, and Python drops what a fork raises."""
    output_of(idle, "mkdir", STOP)
    output_of(idle, "bash", "-c", f"cd {STOP} && echo x | tee redis_password > api_secret_key")
    stop_at_a_fork = (
        "import os, signal\n"
        "os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGTERM))\n"
    )
    write = ["bash", "-c", f'printf %s "$HOOK" > {STOP}/sitecustomize.py']
    output_of(idle, *write, environment={"HOOK": stop_at_a_fork})
    port = "8000"
    idle.exec_run(["python", "-m", "http.server", port], detach=True)  # for what the start awaits
    answer = idle.exec_run(
        ["timeout", str(START_SECONDS), "/opt/dairflow/entrypoint.sh", "worker"],
        environment={
            "PYTHONPATH": STOP,
            "SECRETS": STOP,
            "BROKER_ADDRESS": f"127.0.0.1:{port}",
            "WAREHOUSE_ADDRESS": f"127.0.0.1:{port}",
            "AIRFLOW__CELERY__BROKER_URL": "memory://",
            "AIRFLOW__CELERY__RESULT_BACKEND": "cache+memory://",
        },
    )
    assert answer.exit_code == 128 + signal.SIGTERM, answer.output.decode()


def test_every_package_has_its_bytecode(idle: Container) -> None:
    """Without it each start would compile what it imports, and could not keep it."""
    script = (
        "cd /opt/airflow_env/lib/python3*/site-packages/airflow && "
        "for d in $(find . -name '*.py' -printf '%h\\n' | sort -u); do"
        " ls $d/__pycache__/*.pyc >/dev/null 2>&1 || echo $d; done"
    )
    # Templates of projects are sources to copy, not to import.
    missing = [d for d in output_of(idle, "bash", "-c", script).splitlines() if "template" not in d]
    assert missing == []


def test_secrets_are_in_no_layer_and_no_default_environment(
    docker_client: docker.DockerClient, images: dict[str, str]
) -> None:
    for name in NAMES:
        image = docker_client.images.get(images[name])
        text = json.dumps([image.attrs["Config"], image.history()]).lower()
        assert "password=" not in text
        assert "secret_key=" not in text
    environment = docker_client.images.get(images["airflow"]).attrs["Config"]["Env"]
    assert not any(line.startswith("AIRFLOW__DATABASE") for line in environment)


def test_dags_are_the_last_layer(
    docker_client: docker.DockerClient, images: dict[str, str]
) -> None:
    """So that an edit of a DAG ships kilobytes."""
    newest = docker_client.images.get(images["airflow"]).history()[0]
    assert "COPY" in newest["CreatedBy"]
    assert newest["Size"] < 1_000_000


def test_every_dag_of_the_image_can_be_imported(idle: Container) -> None:
    script = (
        "from airflow.dag_processing.dagbag import DagBag;"
        "bag = DagBag('/opt/airflow/dags');"
        "print(bag.import_errors or 'no errors', sorted(bag.dag_ids))"
    )
    output = output_of(idle, "python", "-W", "ignore", "-c", script).splitlines()[-1]
    assert output.startswith("no errors")
    assert "cluster_check" in output


def test_a_task_can_draw_a_table_without_a_screen(idle: Container) -> None:
    script = (
        "import pandas; import matplotlib.pyplot as plot;"
        "pandas.DataFrame({'seconds': [1, 2]}).plot();"
        "plot.savefig('/tmp/plot.png'); print(open('/tmp/plot.png', 'rb').read(4))"
    )
    assert output_of(idle, "python", "-c", script).splitlines()[-1] == r"b'\x89PNG'"


TEST_PACKAGES = ("pytest", "pytest-xdist", "hypothesis", "jsonschema")


def test_the_builder_s_own_tests_pass_with_the_image_s_python(
    start: Callable[..., Container], tmp_path: Path
) -> None:
    """It is developed with this machine's Python; tasks run with the image's."""
    packages = [f"{name}=={version(name)}" for name in TEST_PACKAGES]
    libraries = tmp_path / "libraries"
    subprocess.run(
        [
            *("uv", "pip", "install", "--quiet", "--target", str(libraries)),
            *("--python-version", "3.13", "--only-binary", ":all:", *packages),
        ],
        check=True,
        timeout=300,
    )
    wanted = ("pyproject.toml", "dags", "docs", "tests/unit/dag_builder")
    container = start(
        "airflow",
        *("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/dag_builder"),
        "--numprocesses=auto",
        "--ignore=tests/unit/dag_builder/test_dag_builder_package.py",  # it needs set-up's uv
        # These need providers that the image does not have.
        "--ignore=tests/unit/dag_builder/test_dag_notify.py",
        *("-k", "not Notifications and not x.notify.slack"),
        working_dir="/project",
        environment={
            "PYTHONPATH": "/libraries",
            "HYPOTHESIS_STORAGE_DIRECTORY": f"{TMP}/hypothesis",
        },
        volumes={
            str(libraries): {"bind": "/libraries", "mode": "ro"},
            **{str(ROOT / name): {"bind": f"/project/{name}", "mode": "ro"} for name in wanted},
        },
    )
    ended = container.wait(timeout=300)["StatusCode"]
    output = container.logs().decode()
    assert ended == 0, output
    assert int(re.findall(r"(\d+) passed", output)[-1]) > 200
