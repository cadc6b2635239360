"""The two deployments of a rotation: both values first, then the new one alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from infra.stack.errors import StackError
from infra.stack.render import render
from infra.stack.rotation import encrypt_again, overlap
from tests.fake_remote import FakeRunner

if TYPE_CHECKING:
    from infra.remote.machine import Machine
    from infra.stack.options import StackOptions
    from infra.stack.render import RenderedStack

Values = dict[str, str]


@pytest.fixture
def previous(secrets: Values) -> Values:
    return {**secrets, "naming_key": "key"}


def rotated(
    compose: dict[str, Any], options: StackOptions, previous: Values, **changes: str
) -> tuple[RenderedStack, Values]:
    values = {**previous, **changes}
    return render(compose, replace(options, secrets=values)), values


def test_a_deployment_that_rotates_nothing_is_one(
    compose: dict[str, Any], options: StackOptions, previous: Values
) -> None:
    rendered, values = rotated(compose, options, previous)
    assert overlap(rendered, values, previous) is None
    assert overlap(rendered, values, {}) is None


@pytest.mark.parametrize("name", ["admin_password", "flower_password", "postgres_password"])
def test_what_has_one_value_at_a_time_is_deployed_once(
    compose: dict[str, Any], options: StackOptions, previous: Values, name: str
) -> None:
    rendered, values = rotated(compose, options, previous, **{name: "new"})
    assert overlap(rendered, values, previous) is None
    before = render(compose, replace(options, secrets=previous))
    changed = {key for key in before.secrets if before.secrets[key] != rendered.secrets[key]}
    assert changed == {name}


def test_redis_accepts_both_passwords_first(
    compose: dict[str, Any], options: StackOptions, previous: Values
) -> None:
    rendered, values = rotated(compose, options, previous, redis_password="new")
    both = overlap(rendered, values, previous)
    assert both
    delivered = {
        secret["target"]: both.rendered.document["secrets"][secret["source"]]["name"]
        for secret in both.rendered.document["services"]["redis"]["secrets"]
    }
    assert delivered == {
        "redis_password": both.rendered.secrets["redis_password"],
        "redis_password_previous": both.rendered.secrets["redis_password_previous"],
    }
    assert both.secrets["redis_password"] == "new"
    assert both.secrets["redis_password_previous"] == previous["redis_password"]
    for name in set(rendered.document["services"]) - {"redis"}:
        both_service = both.rendered.document["services"][name]
        assert both_service == rendered.document["services"][name]


def test_airflow_reads_what_either_key_encrypted_first(
    compose: dict[str, Any], options: StackOptions, previous: Values
) -> None:
    rendered, values = rotated(compose, options, previous, fernet_key="new")
    values["fernet_keys_retired"] = f"between,{previous['fernet_key']}"
    both = overlap(rendered, values, previous)
    assert both
    assert both.secrets["fernet_key"] == f"new,{previous['fernet_key']},between"
    declared = both.rendered.document["secrets"]["fernet_key"]["name"]
    assert declared == both.rendered.secrets["fernet_key"] != rendered.secrets["fernet_key"]
    assert both.rendered.document["services"] == rendered.document["services"]


def secrets_of(rendered: RenderedStack, service: str) -> dict[str, str]:
    """Return the swarm's names of a service's secrets by their files."""
    document = rendered.document
    return {
        secret["target"]: document["secrets"][secret["source"]]["name"]
        for secret in document["services"][service]["secrets"]
    }


def test_the_api_server_accepts_both_keys_before_the_new_one_signs(
    compose: dict[str, Any], options: StackOptions, previous: Values
) -> None:
    old = previous["jwt_secret"]
    before = render(compose, replace(options, secrets=previous))
    rendered, values = rotated(compose, options, previous, jwt_secret="new", jwt_secret_retired=old)
    both = overlap(rendered, values, previous)
    assert both
    assert both.secrets["jwt_secret"] == old
    assert both.secrets["jwt_secret_next"] == "new"
    first, second = (secrets_of(each, "api-server") for each in (both.rendered, rendered))
    assert first["jwt_secret"] == secrets_of(before, "api-server")["jwt_secret"]
    assert first["jwt_secret_next"] == both.rendered.secrets["jwt_secret_next"]
    assert second["jwt_secret"] == rendered.secrets["jwt_secret"] != first["jwt_secret"]
    assert second["jwt_secret_retired"] == rendered.secrets["jwt_secret_retired"]
    assert "jwt_secret_next" not in second


def test_pgbouncer_accepts_both_passwords_before_tasks_have_the_new_one(
    compose: dict[str, Any], options: StackOptions, previous: Values
) -> None:
    """A worker that finishes its tasks has the former one until the next rotation."""
    old = previous["warehouse_password"]
    rendered, values = rotated(
        compose, options, previous, warehouse_password="new", warehouse_password_retired=old
    )
    both = overlap(rendered, values, previous)
    assert both
    assert both.secrets["warehouse_password"] == old
    assert both.secrets["warehouse_password_next"] == "new"
    before = render(compose, replace(options, secrets=previous))
    for service in ("worker", "triggerer", "postgres"):
        assert secrets_of(both.rendered, service) == secrets_of(before, service)
    first, second = (secrets_of(each, "pgbouncer") for each in (both.rendered, rendered))
    assert set(first) == {"pooler_password", "warehouse_password", "warehouse_password_next"} | {
        "warehouse_password_retired"
    }
    assert set(second) == {"pooler_password", "warehouse_password", "warehouse_password_retired"}
    assert second["warehouse_password"] == secrets_of(rendered, "worker")["warehouse_password"]
    assert secrets_of(rendered, "postgres") == secrets_of(before, "postgres")


@pytest.mark.parametrize("service", ["worker", "triggerer", "dag-processor", "flower", "web"])
def test_no_other_service_gets_a_key_of_tokens(
    compose: dict[str, Any], options: StackOptions, previous: Values, service: str
) -> None:
    rendered, values = rotated(
        compose, options, previous, jwt_secret="new", jwt_secret_retired=previous["jwt_secret"]
    )
    both = overlap(rendered, values, previous)
    assert both
    for each in (both.rendered, rendered):
        sources = each.document["services"][service].get("secrets", [])
        assert not [one for one in sources if one["source"].startswith("jwt_secret")]


def test_the_retired_key_stays_until_the_next_rotation(
    compose: dict[str, Any], options: StackOptions, previous: Values
) -> None:
    rendered, values = rotated(compose, options, previous, jwt_secret_retired="old")
    assert overlap(rendered, values, values) is None
    assert "jwt_secret_retired" in secrets_of(rendered, "api-server")


def test_no_value_is_in_the_first_document(
    compose: dict[str, Any], options: StackOptions, previous: Values
) -> None:
    rendered, values = rotated(compose, options, previous, redis_password="n1", fernet_key="n2")
    both = overlap(rendered, values, previous)
    assert both
    for name in ("redis_password", "fernet_key"):
        assert previous[name] not in str(both.rendered)
        assert previous[name] not in repr(both)


def test_what_is_stored_is_encrypted_in_a_container_with_the_keys(
    manager: Machine, compose: dict[str, Any], options: StackOptions
) -> None:
    runner = FakeRunner(manager)
    runner.on("airflow_api-server", "").on("service.name=airflow_", "c0ffee\n").on(
        "docker exec", ""
    )
    encrypt_again(runner, render(compose, options), report=[].append)
    assert runner.commands[-1] == (
        "docker exec c0ffee /opt/dairflow/entrypoint.sh airflow rotate-fernet-key"
    )


def test_a_manager_without_such_a_container_is_an_error(
    manager: Machine, compose: dict[str, Any], options: StackOptions
) -> None:
    runner = FakeRunner(manager).on("docker ps", "")
    with pytest.raises(StackError, match=r"runs none of api-server.*Both keys are in use"):
        encrypt_again(runner, render(compose, options), report=[].append)
