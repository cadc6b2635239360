"""What the rendered services offer to DAGs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from dairflow import connections

from infra.stack.mail import MailServer
from infra.stack.offers import DATABASES, offers
from infra.stack.render import prepared
from tests.unit.stack.conftest import DIGEST

if TYPE_CHECKING:
    from infra.stack.options import StackOptions

Compose = dict[str, Any]
GPU = """
image: registry.example.com/airflow@{digest}
command: [worker, --queues, "gpu,slow"]
secrets: [redis_password]
deploy: {{replicas: 1}}
"""


def offered(compose: Compose, options: StackOptions, changes: str = "{}") -> dict[str, Any]:
    """What the services offer with a worker service of its own, but for ``changes``."""
    own = {**yaml.safe_load(GPU.format(digest=DIGEST)), **yaml.safe_load(changes)}
    ready = prepared({**compose, "services": {**compose["services"], "worker-gpu": own}}, options)
    assert not ready.mistakes
    return offers(ready.services)


@pytest.mark.parametrize(
    ("changes", "queues"),
    [
        ("", {"default": 900, "gpu": 900, "slow": 900}),
        ("stop_grace_period: 1m30s", {"default": 900, "gpu": 90, "slow": 90}),
        ("command: [worker, -q, default], stop_grace_period: 60s", {"default": 60}),
        ("command: [worker]", {"default": 900}),
        (
            "command: [worker], environment: {AIRFLOW__OPERATORS__DEFAULT_QUEUE: big}",
            {"default": 900, "big": 900},
        ),
        ("deploy: {replicas: 0}", {"default": 900}),
        ("secrets: []", {"default": 900}),
        ("profiles: [gpu]", {"default": 900}),
    ],
)
def test_the_queues_are_those_of_workers_that_run(
    compose: Compose, options: StackOptions, changes: str, queues: dict[str, float]
) -> None:
    assert offered(compose, options, f"{{{changes}}}")["queues"] == queues


def test_the_default_queue_is_the_settings(compose: Compose, options: StackOptions) -> None:
    assert offered(compose, options)["default_queue"] == "default"
    changed = replace(options, airflow_variables={"AIRFLOW__OPERATORS__DEFAULT_QUEUE": "big"})
    found = offered(compose, changed)
    assert found["default_queue"] == "big"
    assert set(found["queues"]) == {"big", "gpu", "slow"}


def test_connections_and_variables_that_are_not_in_the_database(
    compose: Compose, options: StackOptions
) -> None:
    changes = "environment: {AIRFLOW_CONN_LAKE: 'http://lake', AIRFLOW_VAR_CITY: Paris}"
    server = MailServer(host="mail.example.com", port=25, tls="none", sender="a@example.com")
    found = offered(compose, replace(options, mail=server), changes)
    assert found["connections"] == ["airflow_history", "lake", "smtp_default", "warehouse"]
    assert found["variables"] == ["city"]
    assert "smtp_default" not in offered(compose, options)["connections"]


@pytest.mark.parametrize("name", ["AIRFLOW__SECRETS__BACKEND", "AIRFLOW__WORKERS__SECRETS_BACKEND"])
def test_the_content_of_another_secrets_backend_is_not_known(
    compose: Compose, options: StackOptions, name: str
) -> None:
    for changed in (
        replace(options, airflow_variables={name: "vault.Backend"}),
        replace(options, airflow_secrets={name: "vault.Backend"}),
    ):
        found = offered(compose, changed)
        assert (found["connections"], found["variables"]) == (None, None)


def test_the_databases_are_those_of_the_images_backend() -> None:
    assert set(DATABASES) == set(connections.DATABASES)
