"""The images of the stack's own services, each run by itself."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import pytest
import requests

from infra import project_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker.models.containers import Container

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
LABEL = "dairflow.test"
START_SECONDS = 60
NAMES = ("airflow", "postgres", "redis", "registry")
HOSTILE = "a'b\"c d\\e/f@g:h%i$j"


@pytest.fixture(scope="module")
def images(docker_client: docker.DockerClient) -> dict[str, str]:
    """The images' names; set-up has made them."""
    names = {name: project_images.reference(name) for name in NAMES}
    for reference in names.values():
        docker_client.images.get(reference)
    return names


@pytest.fixture
def start(
    docker_client: docker.DockerClient, images: dict[str, str], test_mark: str, tmp_path: Path
) -> Iterator[Callable[..., Container]]:
    """Start an image with secrets; everything goes at the end of the test."""
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
    """A named volume; it goes after the containers."""
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
    "celery_results_password": "two",
    "warehouse_password": "three",
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
    assert query(first, "celery_results", "two", "celery_results") == (0, "celery_results")
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


def test_a_worker_s_roles_have_no_way_into_the_metadata(start: Callable[..., Container]) -> None:
    """The migration lets the warehouse's role read a few columns; see test_compose.py."""
    container = start("postgres", secrets=PASSWORDS)
    wait_until(container, READY)
    assert query(container, "warehouse", "three", "warehouse") == (0, "warehouse")
    for role, password in (("celery_results", "two"), ("warehouse", "three")):
        assert query(container, role, password, "airflow")[0] != 0
    assert query(container, "warehouse", "three", "celery_results")[0] != 0
    assert query(container, "postgres", "one", "postgres")[0] != 0


def test_a_volume_of_an_older_release_gets_the_warehouse(
    start: Callable[..., Container], volume: str
) -> None:
    """Also where the start that should have made it was cut off after the role."""
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


def test_postgres_does_not_start_with_half_of_its_passwords(
    start: Callable[..., Container],
) -> None:
    container = start("postgres", secrets=PASSWORDS | {"warehouse_password": ""})
    assert container.wait(timeout=START_SECONDS)["StatusCode"] == 1
    assert "the secret warehouse_password is empty" in container.logs().decode()


def test_a_first_start_of_postgres_that_was_cut_off_is_begun_anew(
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


def test_redis_wants_its_password_and_keeps_its_queue(
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


@pytest.fixture
def idle(start: Callable[..., Container]) -> Container:
    """A container of the Airflow image that does nothing."""
    return start("airflow", "sleep", "infinity", secrets={"redis_password": "x"})


def test_airflow_runs_as_a_user_that_cannot_change_its_code(idle: Container) -> None:
    assert output_of(idle, "id", "-u") == "50000"
    script = "touch /opt/airflow_env/x /opt/airflow/dags/x /opt/dairflow/x 2>&1; ls -d /opt/*/x"
    assert idle.exec_run(["bash", "-c", script]).exit_code != 0


def test_process_1_reaps_orphans(idle: Container) -> None:
    assert output_of(idle, "cat", "/proc/1/comm") == "tini"
    output_of(
        idle, "bash", "-c", "(sleep 0.2 &) ; sleep 0.6; ! grep -l 'Z (zombie)' /proc/*/status"
    )


def test_a_worker_that_is_stopped_while_it_forks_ends(idle: Container) -> None:
    """It forks as it starts; Airflow's own handler raises, and Python drops what a fork raises."""
    output_of(idle, "mkdir", "/opt/airflow/stop")
    stop_at_a_fork = (
        "import os, signal\n"
        "os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGTERM))\n"
    )
    write = ["bash", "-c", 'printf %s "$HOOK" > stop/sitecustomize.py']
    output_of(idle, *write, environment={"HOOK": stop_at_a_fork})
    port = "8000"
    idle.exec_run(["python", "-m", "http.server", port], detach=True)  # for what the start awaits
    answer = idle.exec_run(
        ["timeout", str(START_SECONDS), "/opt/dairflow/entrypoint.sh", "worker"],
        environment={
            "PYTHONPATH": "/opt/airflow/stop",
            "SECRETS": "/opt/airflow",
            "DATABASE_ADDRESS": f"127.0.0.1:{port}",
            "BROKER_ADDRESS": f"127.0.0.1:{port}",
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
    said = output_of(idle, "python", "-W", "ignore", "-c", script).splitlines()[-1]
    assert said.startswith("no errors")
    assert "cluster_check" in said


def test_a_task_can_draw_a_table_without_a_screen(idle: Container) -> None:
    script = (
        "import pandas; import matplotlib.pyplot as plot;"
        "pandas.DataFrame({'seconds': [1, 2]}).plot();"
        "plot.savefig('/tmp/plot.png'); print(open('/tmp/plot.png', 'rb').read(4))"
    )
    assert output_of(idle, "python", "-c", script).splitlines()[-1] == r"b'\x89PNG'"


def test_the_builder_s_own_tests_pass_with_the_image_s_python(
    start: Callable[..., Container], tmp_path: Path
) -> None:
    """It is developed with this machine's Python; tasks run with the image's."""
    packages = [f"{name}=={version(name)}" for name in ("pytest", "hypothesis", "jsonschema")]
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
        working_dir="/project",
        environment={
            "PYTHONPATH": "/libraries",
            "HYPOTHESIS_STORAGE_DIRECTORY": "/opt/airflow/hypothesis",
        },
        volumes={
            str(libraries): {"bind": "/libraries", "mode": "ro"},
            **{str(ROOT / name): {"bind": f"/project/{name}", "mode": "ro"} for name in wanted},
        },
    )
    ended = container.wait(timeout=300)["StatusCode"]
    said = container.logs().decode()
    assert ended == 0, said
    assert int(re.findall(r"(\d+) passed", said)[-1]) > 200
