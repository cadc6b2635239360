"""Airflow's parallelism is the number of slots of all worker services, or they are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from infra.stack.errors import StackError
from infra.stack.render import RenderedStack, render
from tests.unit.stack.conftest import DIGEST

if TYPE_CHECKING:
    from infra.stack.options import StackOptions

Compose = dict[str, Any]
OWN = """
image: registry.example.com/airflow@{digest}
command: [worker]
environment: {{AIRFLOW__CELERY__WORKER_CONCURRENCY: "4"}}
secrets: [redis_password]
deploy: {{replicas: 2}}
"""


def with_worker(compose: Compose, changes: str) -> Compose:
    """Add a worker service of two tasks with four slots each, but for ``changes``."""
    own = {**yaml.safe_load(OWN.format(digest=DIGEST)), **(yaml.safe_load(changes) or {})}
    own = {key: value for key, value in own.items() if value is not None}
    return {**compose, "services": {**compose["services"], "worker-gpu": own}}


def parallelism(rendered: RenderedStack) -> int:
    services = rendered.document["services"]
    return int(services["scheduler"]["environment"]["AIRFLOW__CORE__PARALLELISM"])


@pytest.mark.parametrize(
    ("changes", "slots"),
    [
        ("", 2 * 4),
        ("command: [worker, --queues, gpu, --concurrency, '32']", 2 * 32),
        ("command: [worker, --concurrency=32]", 2 * 32),
        ("command: [worker, -c, '32']", 2 * 32),
        ("command: worker -c32 -q gpu", 2 * 32),
        ("command: [worker, --conc, '32']", 2 * 32),
        ("command: [airflow, celery, worker, -c, '32']", 2 * 32),
        ("{entrypoint: [airflow, celery], command: [worker, -c, '32']}", 2 * 32),
        ("command: [worker, --queues, '-c']", None),
        ("environment: {AIRFLOW__CELERY__WORKER_CONCURRENCY: 7}", 2 * 7),
        ("environment: [AIRFLOW__CELERY__WORKER_CONCURRENCY=7]", 2 * 7),
        ("environment: null", 2 * 16),
        ("deploy: {replicas: 0}", 0),
        ("deploy: null", 3 * 4),
        ("{deploy: null, scale: 3}", 3 * 4),
        ("deploy: {mode: global}", 5 * 4),
        ("deploy: {mode: global, placement: {constraints: [node.role==worker]}}", 3 * 4),
        ("deploy: {mode: global, placement: {constraints: [node.role != worker]}}", 2 * 4),
        ("profiles: [gpu]", 0),
    ],
)
def test_parallelism_is_the_slots_of_all_worker_services(
    compose: Compose, options: StackOptions, changes: str, slots: int | None
) -> None:
    wanted = replace(options, managers=2, worker_nodes=3, worker_concurrency=5)
    if slots is None:
        with pytest.raises(StackError, match="Airflow's worker refuses it"):
            render(with_worker(compose, changes), wanted)
        return
    rendered = render(with_worker(compose, changes), wanted)
    assert parallelism(rendered) == 3 * 5 + slots
    runs = rendered.document["services"]["dag-processor"]["environment"]
    assert runs["AIRFLOW__CORE__MAX_ACTIVE_RUNS_PER_DAG"] == str(max(16, 3 * 5 + slots))


def test_the_own_command_of_the_projects_worker_counts(
    compose: Compose, options: StackOptions
) -> None:
    worker = {**compose["services"]["worker"], "command": ["worker", "--concurrency", "9"]}
    changed = {**compose, "services": {**compose["services"], "worker": worker}}
    assert parallelism(render(changed, options)) == 2 * 9


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            "command: [worker, --autoscale, '64,1']",
            (
                "worker-gpu.command: '--autoscale 64,1' given; it cannot be used: Airflow's"
                " parallelism is the number of slots, which varies then. Next: write --concurrency"
            ),
        ),
        ("command: [worker, '-a64,1']", "worker-gpu.command: '--autoscale 64,1' given"),
        (
            "environment: {AIRFLOW__CELERY__WORKER_AUTOSCALE: '64,1'}",
            "AIRFLOW__CELERY__WORKER_AUTOSCALE: it cannot be used: Airflow's parallelism is the",
        ),
        ("command: [worker, -c, many]", "command: '--concurrency many' given; valid: a whole"),
        ("command: [worker, -c, '0']", "command: '--concurrency 0' given; valid: a whole"),
        ("command: [worker, -c]", "command: Airflow's worker refuses it: argument -c"),
        (
            "environment: {AIRFLOW__CELERY__WORKER_CONCURRENCY: many}",
            "AIRFLOW__CELERY__WORKER_CONCURRENCY: 'many' given; valid: a whole number from 1 on",
        ),
        (
            "deploy: {mode: global, placement: {constraints: [node.labels.gpu == true]}}",
            "deploy.mode: 'global' given; valid: replicated, since the number of nodes",
        ),
        (
            "deploy: {replicas: 9}",
            (
                "deploy.replicas: 9 given; valid: up to 2: 1 (max_replicas_per_node) on each of 2"
                " worker nodes"
            ),
        ),
    ],
)
def test_slots_that_cannot_be_counted_are_refused_with_what_to_write(
    compose: Compose, options: StackOptions, changes: str, expected: str
) -> None:
    with pytest.raises(StackError) as caught:
        render(with_worker(compose, changes), options)
    lines = [line for line in str(caught.value).splitlines() if "services.worker-gpu." in line]
    assert len(lines) == 1, str(caught.value)
    assert expected in lines[0]


def test_the_networks_need_counts_every_service(compose: Compose, options: StackOptions) -> None:
    before = render(compose, options)
    more = with_worker(compose, "deploy: {replicas: 40, placement: {max_replicas_per_node: 20}}")
    site = {"image": f"site@{DIGEST}", "deploy": {"replicas": 300}}
    more["services"]["site"] = site
    after = render(more, options)
    assert after.addresses == before.addresses + 40 + 20 + 2 * 300
    assert "42 for Celery workers" in after.demand
