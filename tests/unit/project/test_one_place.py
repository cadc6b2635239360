"""A fact has one place. If another format must repeat it, the two are compared here."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from docker_stand_in import inputs

from infra import architecture, ports
from infra.firewall import Policy
from infra.images import registry
from infra.settings.model import Settings
from infra.stack import secrets
from infra.stack.options import StackOptions
from tools import base_image, host
from tools.laptop_secrets import GENERATORS

ROOT = Path(__file__).resolve().parents[3]
PORTS = {value for name, value in vars(ports).items() if name.isupper()} - {ports.SSH}
PYTHON = "3.13"


def text(path: str) -> str:
    return (ROOT / path).read_text()


def images() -> list[Path]:
    return sorted((ROOT / "images").glob("*/Dockerfile"))


@pytest.mark.parametrize("path", sorted((ROOT / "infra").rglob("*.py")), ids=lambda path: path.stem)
def test_a_port_is_a_number_in_one_module(path: Path) -> None:
    if path == ROOT / "infra" / "ports.py":
        return
    numbers = [
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
    ]
    assert [number for number in numbers if type(number) is int and number in PORTS] == []


@pytest.mark.parametrize(
    ("path", "pattern", "port"),
    [
        ("images/web/Caddyfile", r"^:(\d+) \{", ports.WEB),
        ("images/web/Caddyfile", r"api-server:(\d+)\}", ports.WEB),
        ("images/web/Dockerfile", r"^EXPOSE (\d+)", ports.WEB),
        ("images/registry/Dockerfile", r"^EXPOSE (\d+)", ports.REGISTRY),
        ("images/registry/config.yml", r"addr: :(\d+)", ports.REGISTRY),
        ("images/airflow/healthcheck.sh", r"api-server\) answers (\d+)", ports.WEB),
        ("images/airflow/healthcheck.sh", r"flower\) answers (\d+)", ports.FLOWER),
        ("docker-compose.yaml", r"http://api-server:(\d+)/", ports.WEB),
        ("docker-compose.yaml", r"DAIRFLOW_WEB_PORT:-(\d+)\}", ports.WEB),
        ("docker-compose.yaml", r"DAIRFLOW_WEB_PORT:-\d+\}:(\d+)\"", ports.WEB),
        ("docker-compose.yaml", r"DAIRFLOW_FLOWER_PORT:-(\d+)\}", ports.FLOWER),
        ("docker-compose.yaml", r"DAIRFLOW_FLOWER_PORT:-\d+\}:(\d+)\"", ports.FLOWER),
        ("Makefile", r"DAIRFLOW_WEB_PORT:-(\d+)\}", ports.WEB),
        ("Makefile", r"DAIRFLOW_FLOWER_PORT:-(\d+)\}", ports.FLOWER),
    ],
)
def test_other_formats_have_the_same_ports(path: str, pattern: str, port: int) -> None:
    assert set(re.findall(pattern, text(path), re.MULTILINE)) == {str(port)}


def test_the_defaults_of_settings_are_the_same_ports() -> None:
    declared = yaml.safe_load(text("Pulumi.yaml"))["config"]
    for setting, field, port in (
        ("webPort", "web_port", ports.WEB),
        ("flowerPort", "flower_port", ports.FLOWER),
    ):
        assert declared[setting]["default"] == port
        assert Settings.model_fields[field].default == port
        assert Policy.__dataclass_fields__[field].default == port
        assert StackOptions.__dataclass_fields__[field].default == port
    assert registry.PORT == Policy.__dataclass_fields__["registry_port"].default == ports.REGISTRY


def test_debian_s_release_is_the_same_everywhere() -> None:
    for path in (*images(), ROOT / "tests" / "aws" / "body" / "Dockerfile"):
        assert f"{base_image.REPOSITORY}:{base_image.RELEASE}" in path.read_text(), path
    names = re.findall(r"image: \$\{DAIRFLOW_\w+_IMAGE:-([^}]+)\}", text("docker-compose.yaml"))
    assert {name.partition(":")[2] for name in names} == {base_image.RELEASE}
    assert base_image.OFFICIAL_ROOTFS in text("tools/base/Dockerfile")


def test_python_is_the_same_in_both_parts_of_airflow_s_image() -> None:
    dockerfile = text("images/airflow/Dockerfile")
    assert set(re.findall(r"python(3\.\d+)", dockerfile)) == {PYTHON}
    assert re.findall(
        r"^python=(\S+)$", text("images/airflow/conda_requirements.txt"), re.MULTILINE
    ) == [PYTHON]
    classifiers = tomllib.loads(text("dag_builder/pyproject.toml"))["project"]["classifiers"]
    assert f"Programming Language :: Python :: {PYTHON}" in classifiers


def test_airflow_is_the_same_in_the_image_and_in_the_tests() -> None:
    locked = tomllib.loads(text("pyproject.toml"))["dependency-groups"]["dev"]
    (tests,) = [line for line in locked if str(line).startswith("apache-airflow[")]
    (image,) = re.findall(
        r"^apache-airflow==(\S+)$", text("images/airflow/pip_requirements.txt"), re.MULTILINE
    )
    assert tests == f"apache-airflow[celery]=={image}"


def test_the_project_and_its_package_have_one_version() -> None:
    versions = {
        tomllib.loads(text(path))["project"]["version"]
        for path in ("pyproject.toml", "dag_builder/pyproject.toml")
    }
    assert len(versions) == 1


def test_names_of_architectures_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert inputs._ARCHITECTURES == architecture.DOCKER_NAMES
    for machine in (*architecture.DOCKER_NAMES, "arm64"):
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        assert host.detect().architecture == architecture.docker_name(machine)


def test_the_laptop_has_the_cluster_s_secrets() -> None:
    generated = secrets.generate()
    assert list(GENERATORS) == list(secrets.SECRET_NAMES) == list(generated)
    for name, value in generated.items():
        assert len(GENERATORS[name]()) == len(value), name
