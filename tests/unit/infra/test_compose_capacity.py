"""What settings and compose file exceed together is refused, with every figure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from infra import cluster
from infra.machines.targets import TARGETS
from infra.settings.parse import SettingsError
from infra.stack.connections import AIRFLOW_CONNECTIONS
from tests.unit.parsed import parse

ROOT = Path(__file__).parents[3]
IMAGE = f"site@sha256:{'ab' * 32}"
AWS = {"target": "aws", "awsRegion": "eu-central-1", "allowedCidrs": ["192.0.2.1/32"]}


@pytest.fixture
def compose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The project's compose file; `read` reads what a test has made of it."""
    monkeypatch.setattr("infra.cluster.ROOT", tmp_path)
    return yaml.load((ROOT / "docker-compose.yaml").read_text(), Loader=yaml.CSafeLoader)


def read(compose: dict[str, Any], **settings: Any) -> None:
    text = yaml.dump(compose, Dumper=yaml.CSafeDumper)
    (cluster.ROOT / "docker-compose.yaml").write_text(text)
    parsed = parse(settings)
    cluster.read_services(parsed, TARGETS[parsed.target])


def refusal(compose: dict[str, Any], **settings: Any) -> str:
    with pytest.raises(pulumi.RunError) as caught:
        read(compose, **settings)
    return str(caught.value)


def with_network(compose: dict[str, Any], name: str, subnet: str) -> None:
    networks = compose.setdefault("networks", {})
    networks[name] = {"ipam": {"config": [{"subnet": subnet}]}}
    compose["services"]["site"] = {"image": IMAGE, "networks": [name]}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"managers": "7", "workers": "100", "workersPerNode": "16", "workerConcurrency": "1"},
        {"workers": "35", "workerConcurrency": "256"},
        {"airflowConfig": {"api": {"workers": "7"}}},
        {"overlayNetwork": "10.192.0.0/24"},
        {"memoryLimits": {"postgres": "512m", "migrate": "384m", "flower": "128m"}},
    ],
)
def test_what_works_is_permitted(compose: dict[str, Any], settings: dict[str, Any]) -> None:
    read(compose, **settings)


def test_the_queue_serves_the_tasks_of_all_worker_services(compose: dict[str, Any]) -> None:
    compose["services"]["worker-gpu"] = {
        "image": IMAGE,
        "command": ["worker", "-c", "200"],
        "secrets": ["redis_password"],
        "deploy": {"replicas": 50},
    }
    printed = refusal(compose, workers="50")
    assert (
        "services.worker-gpu: fewer tasks at the same time are needed: with worker 50 x 4 +"
        in printed
    )
    assert "worker-gpu 50 x 200, Redis, the queue, has 10,800 clients" in printed
    assert "Nothing was created or changed" in printed


def test_the_network_has_addresses_for_all_services(compose: dict[str, Any]) -> None:
    compose["services"]["site"] = {"image": IMAGE, "deploy": {"replicas": 2000}}
    read(compose)
    printed = refusal(compose, overlayNetwork="10.192.0.0/21")
    assert (
        "networks.default: 4,030 addresses are needed (2 for Celery workers, 2,012 for" in printed
    )
    assert "it has 2,045. Next: set fewer replicas, or a larger network (overlayNetwork)" in printed
    compose["services"]["site"]["deploy"]["replicas"] = 40_000
    assert "addresses are needed" in refusal(compose)


def test_a_network_without_a_subnet_has_dockers_own_size(compose: dict[str, Any]) -> None:
    compose["networks"] = {"front": {}}
    site = {"image": IMAGE, "networks": ["front"], "deploy": {"replicas": 100}}
    compose["services"]["site"] = site
    read(compose)
    site["deploy"] = {"replicas": 200}
    assert "networks.front: 404 addresses are needed" in refusal(compose)


@pytest.mark.parametrize(
    ("subnet", "settings", "expected"),
    [
        ("nope", {}, "subnet: 'nope' given; valid: an IPv4 network such as 10.200.0.0/24"),
        ("8.8.0.0/20", {}, "subnet: '8.8.0.0/20' given; valid: a private IPv4 network"),
        ("10.0.0.0/24", {}, "does not overlap 10.0.0.0/24: the swarm's ingress network is there"),
        ("10.213.0.0/20", {}, "the nodes of target local are there"),
        ("172.18.0.0/24", {}, "Docker's own bridges come from it"),
        ("10.80.1.0/24", AWS, "it is awsVpcCidr, the network of the machines"),
        (
            "10.20.1.0/24",
            {
                "target": "existing",
                "hosts": [
                    {"name": n, "address": a, "role": r, "hostKey": "accept-once", "password": "p"}
                    for n, a, r in (
                        ("m1", "10.20.1.7", "manager"),
                        ("w1", "10.20.2.7", "worker"),
                    )
                ],
            },
            "the host m1 is there",
        ),
        ("10.99.0.0/20", {"overlayNetwork": "10.99.1.0/24"}, "which is the setting overlayNetwork"),
    ],
)
def test_a_subnet_in_the_compose_file_is_checked_as_the_setting_is(
    compose: dict[str, Any], subnet: str, settings: dict[str, Any], expected: str
) -> None:
    with_network(compose, "front", subnet)
    printed = refusal(compose, **settings)
    assert "networks.front.ipam.config[0].subnet: " in printed
    assert expected in printed


def test_two_networks_do_not_overlap(compose: dict[str, Any]) -> None:
    with_network(compose, "front", "10.99.0.0/20")
    compose["networks"]["back"] = {"ipam": {"config": [{"subnet": "10.99.1.0/24"}]}}
    assert "it overlaps 10.99.0.0/20, which is networks.front" in refusal(compose)


def test_the_default_networks_subnet_is_too_small(compose: dict[str, Any]) -> None:
    with_network(compose, "default", "10.99.0.0/24")
    read(compose, workers="50")
    printed = refusal(compose, workers="200")
    assert "networks.default: 527 addresses are needed (200 for Celery workers" in printed
    assert "it has 253" in printed
    assert "networks.default.ipam: the setting overlayNetwork, 10.98.0.0/24, is" in refusal(
        compose, overlayNetwork="10.98.0.0/24"
    )


def test_the_databases_connections_are_counted(compose: dict[str, Any]) -> None:
    config = {"airflowConfig": {"api": {"workers": "8"}}}
    printed = refusal(compose, **config)
    assert "services.api-server: Airflow's services would hold 540 connections" in printed
    assert "api-server: 2 x 8 processes x 2 pools x 15" in printed
    assert f"it has {AIRFLOW_CONNECTIONS} for them" in printed
    smaller = {"sql_alchemy_max_overflow": "3"}
    read(compose, airflowConfig={"api": {"workers": "8"}, "database": smaller})
    compose["services"]["api-server"]["command"] = ["api-server", "--workers", "20"]
    assert "2 x 20 processes" in refusal(compose)


def test_managers_count_too(compose: dict[str, Any]) -> None:
    config = {"airflowConfig": {"api": {"workers": "2"}}}
    read(compose, managers="3", **config)
    assert "api-server: 14 x 2 processes x 2 pools x 15" in refusal(compose, managers="7", **config)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("sql_alchemy_pool_size", "0"),
        ("sql_alchemy_pool_size", "many"),
        ("sql_alchemy_max_overflow", "-1"),
        ("sql_alchemy_pool_enabled", "False"),
    ],
)
def test_a_pool_without_a_bound_is_refused(
    compose: dict[str, Any], option: str, value: str
) -> None:
    try:
        printed = refusal(compose, airflowConfig={"database": {option: value}})
    except SettingsError as error:  # it has no such value for Airflow either
        printed = str(error)
    assert f"airflowConfig.database.{option}: '{value}' " in printed
    scheduler = compose["services"]["scheduler"]["environment"]
    scheduler[f"AIRFLOW__DATABASE__{option.upper()}"] = value
    assert f"services.scheduler.environment.AIRFLOW__DATABASE__{option.upper()}" in refusal(compose)


def test_the_number_of_connections_is_the_databases() -> None:
    script = (ROOT / "images/postgres/connections.sh").read_text()
    (number,) = re.findall(r"^AIRFLOW_CONNECTIONS=(\d+)$", script, re.MULTILINE)
    assert int(number) == AIRFLOW_CONNECTIONS


@pytest.mark.parametrize(
    ("service", "given", "least"),
    [
        ("postgres", "128m", "512m"),
        ("api-server", "129m", "512m"),
        ("scheduler", "200m", "384m"),
        ("migrate", "128m", "384m"),
    ],
)
def test_a_limit_below_what_a_service_needs_is_refused(
    compose: dict[str, Any], service: str, given: str, least: str
) -> None:
    printed = refusal(compose, memoryLimits={service: given})
    assert f"memoryLimits.{service}: '{given}' given; valid: a size from {least} on" in printed
    assert f"pulumi config set --path memoryLimits.{service} SIZE" in printed


def test_a_users_service_may_reserve_its_whole_limit(compose: dict[str, Any]) -> None:
    site: dict[str, Any] = {"image": IMAGE, "mem_limit": "64m", "mem_reservation": "64m"}
    compose["services"]["site"] = site
    read(compose)
    site["mem_limit"] = "32m"
    assert "services.site.deploy.resources.reservations.memory: '64m' given" in refusal(compose)
