"""The stack's document, rendered from the real compose file."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from infra.stack.errors import StackError
from infra.stack.render import render

if TYPE_CHECKING:
    from infra.stack.options import StackOptions
    from infra.stack.render import Document

Compose = dict[str, Any]

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

SERVICES = {
    "postgres",
    "redis",
    "migrate",
    "api-server",
    "scheduler",
    "dag-processor",
    "triggerer",
    "worker",
    "flower",
}


@pytest.fixture
def services(compose: Compose, options: StackOptions) -> Document:
    return render(compose, options).document["services"]


def test_every_service_of_the_laptop_is_on_the_swarm(services: Document) -> None:
    assert set(services) == SERVICES


def test_images_are_digests(services: Document) -> None:
    assert all("@sha256:" in service["image"] for service in services.values())


def test_a_tag_is_refused(compose: Compose, options: StackOptions) -> None:
    tagged = replace(options, images={**options.images, "redis": "10.0.0.1:5000/redis:latest"})
    with pytest.raises(StackError, match=r"redis.*by digest"):
        render(compose, tagged)


def test_nothing_of_the_laptop_is_left(services: Document) -> None:
    for service in services.values():
        assert not {"build", "depends_on", "restart"} & set(service)
        for mount in service.get("volumes", []):
            folder = mount["type"] == "bind" if isinstance(mount, dict) else mount[0] in "./"
            assert not folder, mount


def test_no_service_has_a_privilege_or_can_change_its_programs(services: Document) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert service["read_only"] is True, name


def test_what_tasks_write_is_on_disk_and_ends_with_their_worker(services: Document) -> None:
    mounts = [m for m in services["worker"]["volumes"] if isinstance(m, dict)]
    assert mounts == [{"type": "volume", "target": t} for t in ("/tmp", "/home/airflow")]  # noqa: S108


def test_no_secret_is_in_the_document(compose: Compose, options: StackOptions) -> None:
    text = render(compose, options).to_bytes(NOON).decode()
    for value in options.secrets.values():
        assert value not in text


def test_secrets_are_external_under_hashed_names(compose: Compose, options: StackOptions) -> None:
    rendered = render(compose, options)
    for logical, declared in rendered.document["secrets"].items():
        assert declared == {"external": True, "name": rendered.secrets[logical]}


def test_a_new_password_renames_its_secret_only(compose: Compose, options: StackOptions) -> None:
    before = render(compose, options).secrets
    changed = replace(options, secrets={**options.secrets, "admin_password": "another"})
    after = render(compose, changed).secrets
    assert {name for name in before if before[name] != after[name]} == {"admin_password"}


def test_a_worker_cannot_reach_the_metadata(services: Document) -> None:
    given = {secret["target"] for secret in services["worker"]["secrets"]}
    assert not given & {"postgres_password", "fernet_key", "jwt_secret", "admin_password"}


def test_the_warehouse_is_open_to_what_runs_tasks_only(services: Document) -> None:
    holders = {
        name
        for name, service in services.items()
        if "warehouse_password" in {secret["target"] for secret in service.get("secrets", [])}
    }
    assert holders == {"postgres", "worker", "triggerer"}


def test_no_environment_value_looks_like_a_secret(services: Document) -> None:
    for service in services.values():
        for key in service.get("environment", {}):
            assert not key.endswith(("PASSWORD", "FERNET_KEY", "SECRET_KEY", "JWT_SECRET", "CONN"))


def test_services_have_no_virtual_address(services: Document) -> None:
    assert all(service["deploy"]["endpoint_mode"] == "dnsrr" for service in services.values())


def test_ports_are_published_on_the_node_itself(compose: Compose, options: StackOptions) -> None:
    rendered = render(compose, replace(options, web_port=8090, flower_port=5556))
    services = rendered.document["services"]
    assert services["api-server"]["ports"] == [
        {"target": 8080, "published": 8090, "protocol": "tcp", "mode": "host"}
    ]
    assert services["flower"]["ports"] == [
        {"target": 5555, "published": 5556, "protocol": "tcp", "mode": "host"}
    ]
    assert {name for name in services if "ports" in services[name]} == {"api-server", "flower"}


def test_a_port_on_the_host_is_never_taken_twice_by_an_update(services: Document) -> None:
    assert services["api-server"]["deploy"]["update_config"]["order"] == "stop-first"


@pytest.mark.parametrize(
    ("nodes", "per_node", "host_name"),
    [(1, 1, "{{.Node.Hostname}}"), (3, 2, "{{.Node.Hostname}}-{{.Task.Slot}}")],
)
def test_every_worker_node_has_its_share(
    compose: Compose, options: StackOptions, nodes: int, per_node: int, host_name: str
) -> None:
    wanted = replace(options, worker_nodes=nodes, workers_per_node=per_node)
    worker = render(compose, wanted).document["services"]["worker"]
    assert worker["deploy"]["replicas"] == nodes * per_node
    assert worker["deploy"]["placement"] == {
        "constraints": ["node.role == worker"],
        "max_replicas_per_node": per_node,
    }
    assert worker["hostname"] == host_name


def test_only_workers_run_on_worker_nodes(services: Document) -> None:
    primary = {"postgres", "redis", "flower"}
    for name, service in services.items():
        constraints = service["deploy"]["placement"]["constraints"]
        if name in primary:
            assert constraints == ["node.labels.dairflow.primary == true"]
        else:
            assert constraints == [f"node.role == {'worker' if name == 'worker' else 'manager'}"]


def test_a_worker_gets_the_grace_that_the_user_allows(services: Document) -> None:
    assert services["worker"]["stop_grace_period"] == "900s"


def test_the_migration_ends(services: Document) -> None:
    assert services["migrate"]["deploy"]["restart_policy"]["condition"] == "on-failure"


def test_the_network_leaves_room_for_its_own_headers(
    compose: Compose, options: StackOptions
) -> None:
    network = render(compose, replace(options, mtu=1400)).document["networks"]["default"]
    assert network == {
        "driver": "overlay",
        "driver_opts": {"com.docker.network.driver.mtu": "1350"},
    }


def test_rendering_is_repeatable_and_leaves_its_input_alone(
    compose: Compose, options: StackOptions
) -> None:
    before = json.dumps(compose)
    assert render(compose, options) == render(compose, options)
    assert render(compose, options).digest() == render(compose, options).digest()
    assert json.dumps(compose) == before


def test_the_digest_changes_with_what_is_deployed(compose: Compose, options: StackOptions) -> None:
    changed = replace(options, worker_concurrency=options.worker_concurrency + 1)
    assert render(compose, options).digest() != render(compose, changed).digest()


def test_every_service_carries_the_digest_and_the_time(
    compose: Compose, options: StackOptions
) -> None:
    rendered = render(compose, options)
    for service in json.loads(rendered.to_bytes(NOON))["services"].values():
        assert service["deploy"]["labels"] == {
            "dairflow.digest": rendered.digest(),
            "dairflow.deployed": "2026-11-23T12:00:00+00:00",
        }


def test_a_dollar_reaches_the_container(compose: Compose, options: StackOptions) -> None:
    compose["services"]["flower"]["environment"] = {"PRICE": "5 $$"}
    flower = render(compose, options).document["services"]["flower"]
    assert flower["environment"]["PRICE"] == "5 $$"  # docker stack deploy makes one of two


def test_a_default_may_have_a_variable_in_it(compose: Compose, options: StackOptions) -> None:
    compose["services"]["flower"]["environment"] = {
        "X": "${OTHER:-http://h:${DAIRFLOW_WEB_PORT:-1}/${NONE:-x}}"
    }
    flower = render(compose, replace(options, web_port=8090)).document["services"]["flower"]
    assert flower["environment"]["X"] == "http://h:8090/x"


@pytest.mark.parametrize("text", ["${UNKNOWN}", "${A:-${UNKNOWN}}", "${NAME:?message}", "$NAME"])
def test_a_variable_that_cannot_be_filled_is_named(
    compose: Compose, options: StackOptions, text: str
) -> None:
    compose["services"]["flower"]["environment"] = {"X": text}
    with pytest.raises(StackError, match=r"\$"):
        render(compose, options)


@pytest.mark.parametrize("value", ["", "two\nlines"])
def test_a_secret_that_cannot_be_delivered_is_named_not_shown(
    compose: Compose, options: StackOptions, value: str
) -> None:
    broken = replace(options, secrets={**options.secrets, "redis_password": value})
    with pytest.raises(StackError, match="redis_password") as caught:
        render(compose, broken)
    assert "two" not in str(caught.value)
