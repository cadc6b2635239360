"""The Airflow image's own scripts, run as they are, and its list of packages."""

from __future__ import annotations

import configparser
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

from infra.images import build_context
from infra.stack.secrets import SECRET_NAMES
from tools import images

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE = Path(__file__).parents[3] / "images" / "airflow"
HOSTILE = "a'b\"c d\\e/f@g:h%i#j?k$l"
DNS_LABEL_LIMIT = 63


@pytest.fixture
def setting(tmp_path: Path) -> Callable[..., str]:
    """Return the value of an option in a service that has some secrets."""

    def ask(name: str, **secrets: str) -> str:
        for secret, value in secrets.items():
            (tmp_path / secret).write_text(value)
        done = subprocess.run(
            [str(IMAGE / "setting"), name],
            env={"PATH": "/usr/bin:/bin", "SECRETS": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
        return done.stdout

    return ask


def commands() -> dict[str, str]:
    """The options in the image's airflow.cfg whose value a command prints, and its argument."""
    config = configparser.ConfigParser()
    config.read(IMAGE / "airflow.cfg")
    return {
        f"{section}.{key.removesuffix('_cmd')}": value.removeprefix("/opt/dairflow/setting ")
        for section in config.sections()
        for key, value in config[section].items()
        if key.endswith("_cmd")
    }


def test_every_secret_option_is_read_by_a_command(setting: Callable[..., str]) -> None:
    assert commands() == {
        "core.fernet_key": "fernet_key",
        "database.sql_alchemy_conn": "sql_alchemy_conn",
        "api.secret_key": "secret_key",
        "api_auth.jwt_secret": "jwt_secret",
        "celery.broker_url": "broker_url",
    }
    for name in commands().values():
        setting(name)


@pytest.mark.parametrize("name", ["fernet_key", "jwt_secret", "secret_key"])
def test_a_key_that_a_service_does_not_have_is_empty(
    setting: Callable[..., str], name: str
) -> None:
    assert setting(name, postgres_password="p", redis_password="r") == ""


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("sql_alchemy_conn", "this-service-has-no-access-to-the-database-of-airflow"),
        ("broker_url", "this-service-has-no-access-to-the-broker"),
    ],
)
def test_a_url_without_its_password_fails_with_the_reason(
    setting: Callable[..., str], name: str, host: str
) -> None:
    url = urlsplit(setting(name))
    assert (url.hostname, url.password) == (host, None)
    assert all(len(label) <= DNS_LABEL_LIMIT for label in host.split("."))


@pytest.mark.parametrize("password", ["plain", HOSTILE, "ümläut-密"])
@pytest.mark.parametrize(
    ("secret", "name", "who"),
    [
        ("postgres_password", "sql_alchemy_conn", "airflow@postgres"),
        ("redis_password", "broker_url", "@redis"),
    ],
)
def test_any_password_survives_its_url(
    setting: Callable[..., str], secret: str, name: str, who: str, password: str
) -> None:
    url = urlsplit(setting(name, **{secret: password}))
    assert f"{url.username}@{url.hostname}" == who
    assert unquote(url.password or "") == password


def test_a_trailing_line_break_is_not_part_of_a_secret(setting: Callable[..., str]) -> None:
    assert setting("fernet_key", fernet_key="key=\n") == "key="
    assert setting("broker_url", redis_password="word\n") == "redis://:word@redis:6379/0"


def test_the_entry_point_exports_nothing(tmp_path: Path) -> None:
    for name in SECRET_NAMES:
        (tmp_path / name).write_text(f"value-of-{name}")
    done = subprocess.run(
        ["bash", str(IMAGE / "entrypoint.sh"), "env"],
        env={"PATH": "/usr/bin:/bin", "SECRETS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    assert "value-of-" not in done.stdout
    assert "AIRFLOW" not in done.stdout


def needed() -> dict[str, set[str]]:
    """What the entry point requires of each part."""
    lines = re.findall(
        r"^ +.*?require_secrets ([a-z-]+) (.+?)(?: ;;)?$",
        (IMAGE / "entrypoint.sh").read_text(),
        re.MULTILINE,
    )
    return {part: set(names.split()) for part, names in lines}


HARDENING = {
    "migrate": {"postgres_password", "fernet_key", "admin_password", "backup_passphrase"},
    "api-server": {"postgres_password", "fernet_key", "jwt_secret", "api_secret_key"},
    "scheduler": {"postgres_password", "fernet_key", "jwt_secret", "redis_password"},
    "dag-processor": {"postgres_password", "fernet_key"},
    "triggerer": {"postgres_password", "fernet_key", "api_secret_key", "warehouse_password"},
    "worker": {"redis_password", "api_secret_key", "warehouse_password"},
    "log-store": {"api_secret_key"},
    "flower": {"redis_password", "flower_password"},
}
"""What each part gets, and nothing else: only two of them create or check tokens."""


def test_each_service_gets_the_secrets_that_it_needs_and_no_other() -> None:
    services = yaml.safe_load((IMAGE.parents[1] / "docker-compose.yaml").read_text())["services"]
    parts = {name: service for name, service in services.items() if name in HARDENING}
    assert {name: set(service["secrets"]) for name, service in parts.items()} == HARDENING
    # Connections are optional; all else is required at the start.
    assert needed() == {
        name: secrets - {"warehouse_password"} for name, secrets in HARDENING.items()
    }


@pytest.mark.parametrize("part", sorted(HARDENING))
def test_a_service_without_one_of_its_secrets_does_not_start(tmp_path: Path, part: str) -> None:
    for name in sorted(needed()[part])[1:]:
        (tmp_path / name).write_text("x")
    done = subprocess.run(
        ["bash", str(IMAGE / "entrypoint.sh"), part],
        env={"PATH": "/usr/bin:/bin", "SECRETS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    assert done.returncode == 1
    missing = min(needed()[part])
    assert f"the secret {missing} is missing or empty in {tmp_path}: {part} needs it" in done.stderr


def test_a_wait_that_is_over_names_the_address(tmp_path: Path) -> None:
    for name in needed()["worker"]:
        (tmp_path / name).write_text("x")
    done = subprocess.run(
        ["bash", str(IMAGE / "entrypoint.sh"), "worker"],
        env={
            "PATH": "/usr/bin:/bin",
            "SECRETS": str(tmp_path),
            "BROKER_ADDRESS": "127.0.0.1:1",
            "WAIT_SECONDS": "0",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr


def test_a_health_check_fails_if_nothing_listens() -> None:
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
    recorded = locks.facts(IMAGE / locks.PYPI_ONLY_LOCK)
    assert recorded["requirements"] == digest([*asked.conda, *asked.pip]), "run `make lock`"
    if (IMAGE / locks.CONDA_LOCK).exists():
        recorded = locks.facts(IMAGE / locks.CONDA_LOCK)
        assert recorded["requirements"] == digest(asked.conda), "run `make lock`"
        recorded = locks.facts(IMAGE / locks.PIP_LOCK)
        assert recorded["requirements"] == digest(asked.pip), "run `make lock`"


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
