"""The Airflow image's own scripts, run as they are, and its list of packages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from airflow_env import locks
from airflow_env.requirements import digest
from airflow_env.steps import Sources

from infra import build_context
from infra.stack.secrets import SECRET_NAMES
from tools import images

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE = Path(__file__).parents[3] / "images" / "airflow"
HOSTILE = "a'b\"c d\\e/f@g:h%i#j?k$l"


@pytest.fixture
def environment(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Run the entry point with some secrets, and return the environment of what it starts."""

    def run(**secrets: str) -> dict[str, str]:
        for name, value in secrets.items():
            (tmp_path / name).write_text(value)
        done = subprocess.run(
            ["bash", str(IMAGE / "entrypoint.sh"), "env", "-0"],
            env={"PATH": "/usr/bin:/bin", "SECRETS": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
        pairs = (line.split("=", 1) for line in done.stdout.split("\0") if line)
        return {key: value for key, value in pairs if key.startswith("AIRFLOW_")}

    return run


def test_without_secrets_nothing_is_set(environment: Callable[..., dict[str, str]]) -> None:
    assert environment() == {}


def test_a_worker_is_given_no_way_to_the_metadata(
    environment: Callable[..., dict[str, str]],
) -> None:
    found = environment(celery_results_password="r", redis_password="b", api_secret_key="k")
    assert set(found) == {
        "AIRFLOW__CELERY__RESULT_BACKEND",
        "AIRFLOW__CELERY__BROKER_URL",
        "AIRFLOW__API__SECRET_KEY",
    }


@pytest.mark.parametrize("password", ["plain", HOSTILE, "ümläut-密"])
@pytest.mark.parametrize(
    ("secret", "setting", "who"),
    [
        ("postgres_password", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "airflow@postgres"),
        ("celery_results_password", "AIRFLOW__CELERY__RESULT_BACKEND", "celery_results@postgres"),
        ("redis_password", "AIRFLOW__CELERY__BROKER_URL", "@redis"),
        ("warehouse_password", "AIRFLOW_CONN_WAREHOUSE", "warehouse@pgbouncer"),
        ("warehouse_password", "AIRFLOW_CONN_AIRFLOW_HISTORY", "warehouse@pgbouncer"),
    ],
)
def test_any_password_survives_its_url(
    environment: Callable[..., dict[str, str]], secret: str, setting: str, who: str, password: str
) -> None:
    url = urlsplit(environment(**{secret: password})[setting].removeprefix("db+"))
    assert f"{url.username}@{url.hostname}" == who
    assert unquote(url.password or "") == password


def test_tasks_are_given_connections_to_the_warehouse_and_the_history(
    environment: Callable[..., dict[str, str]],
) -> None:
    from airflow.sdk import Connection

    found = environment(warehouse_password=HOSTILE)
    assert set(found) == {"AIRFLOW_CONN_WAREHOUSE", "AIRFLOW_CONN_AIRFLOW_HISTORY"}
    for name, database in (("WAREHOUSE", "warehouse"), ("AIRFLOW_HISTORY", "airflow")):
        connection = Connection.from_uri(found[f"AIRFLOW_CONN_{name}"], conn_id=name)
        assert (connection.conn_type, connection.login) == ("postgres", "warehouse")
        assert (connection.password, connection.schema) == (HOSTILE, database)


def test_a_trailing_line_break_is_no_part_of_a_secret(
    environment: Callable[..., dict[str, str]],
) -> None:
    assert environment(fernet_key="key=\n") == {"AIRFLOW__CORE__FERNET_KEY": "key="}


def test_the_entry_point_knows_every_secret_but_those_of_others() -> None:
    """The administrator's is read by ``migrate.py``; each other one by the entry point."""
    text = (IMAGE / "entrypoint.sh").read_text()
    unknown = {name for name in SECRET_NAMES if not re.search(rf"\b{name}\b", text)}
    assert unknown == {"admin_password"}
    assert "admin_password" in (IMAGE / "migrate.py").read_text()


def test_a_wait_that_is_over_names_the_address(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", str(IMAGE / "entrypoint.sh"), "worker"],
        env={
            "PATH": "/usr/bin:/bin",
            "SECRETS": str(tmp_path),
            "DATABASE_ADDRESS": "127.0.0.1:1",
            "WAIT_SECONDS": "0",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr


def test_a_health_check_fails_where_nothing_listens() -> None:
    done = subprocess.run(
        ["bash", str(IMAGE / "healthcheck.sh"), "scheduler"],
        capture_output=True,
        check=False,
        timeout=10,
    )
    assert done.returncode != 0


def locked() -> dict[str, str]:
    found = re.findall(
        r"^([a-z0-9-]+)==(\S+)", (IMAGE / locks.PYPI_ONLY_LOCK).read_text(), re.MULTILINE
    )
    return dict(found)


def test_the_locks_are_those_of_the_requirements() -> None:
    asked = Sources(folder=IMAGE).asked()
    said = locks.facts(IMAGE / locks.PYPI_ONLY_LOCK)
    assert said["requirements"] == digest([*asked.conda, *asked.pip]), "run `make lock`"
    if (IMAGE / locks.CONDA_LOCK).exists():
        said = locks.facts(IMAGE / locks.CONDA_LOCK)
        assert said["requirements"] == digest(asked.conda), "run `make lock`"
        said = locks.facts(IMAGE / locks.PIP_LOCK)
        assert said["requirements"] == digest(asked.pip), "run `make lock`"


def test_celery_is_one_that_the_provider_can_import() -> None:
    """5.7 has no ``celery.backends.database.retry``, which the provider 3.26 imports."""
    assert locked()["celery"].startswith("5.6.")


def test_every_locked_package_is_hashed() -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", (IMAGE / locks.PYPI_ONLY_LOCK).read_text())
    assert all("--hash=sha256:" in block for block in blocks if "==" in block)


def test_every_way_to_build_the_image_takes_the_same_arguments() -> None:
    declared = re.findall(r"^ARG (\w+)=$", (IMAGE / "Dockerfile").read_text(), re.MULTILINE)
    services = yaml.safe_load((IMAGE.parents[1] / "docker-compose.yaml").read_text())["services"]
    assert set(declared) == set(build_context.ARGUMENTS)
    assert set(services["worker"]["build"]["args"]) == set(build_context.ARGUMENTS)
    assert set(images.ARGUMENTS) == set(build_context.ARGUMENTS)
