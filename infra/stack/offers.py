"""What the services offer to DAGs: queues, time to finish, connections and variables. Pure.

`dag-builder check --cluster` compares DAGs with it (docs/dags.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.stack import mail
from infra.stack.quantities import seconds
from infra.stack.secrets import WAREHOUSE_PASSWORD
from infra.stack.services import environment_of, file_sources, runs_worker
from infra.stack.slots import worker_flags
from infra.stack.yaml_values import as_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DATABASES = ("airflow_history", "warehouse")
"""The connections of a service with the warehouse's password
(``images/airflow/dairflow/connections.py``)."""

_DEFAULT_QUEUE = "AIRFLOW__OPERATORS__DEFAULT_QUEUE"
_AIRFLOWS_DEFAULT_QUEUE = "default"
_BACKENDS = ("AIRFLOW__SECRETS__BACKEND", "AIRFLOW__WORKERS__SECRETS_BACKEND")
_DAG_PROCESSOR = "dag-processor"
_DOCKERS_GRACE_SECONDS = 10.0
"""What Docker gives a container without ``stop_grace_period``."""


def offers(services: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what services offer, by the keys of the description of a cluster.

    The services are rendered, or as `docker compose config` prints them. ``connections`` and
    ``variables`` are those that Airflow's API does not list. They are None if there is a secrets
    backend of the user's, whose content is not known.
    """
    workers = [service for service in services.values() if _serves(service)]
    processor = services.get(_DAG_PROCESSOR, {})
    environments = [environment_of(worker) for worker in workers]
    listed = not any(_has_own_backend(environment) for environment in environments)
    return {
        "queues": _queues(workers),
        "default_queue": _default_queue(processor),
        "connections": _connections(services.values(), environments) if listed else None,
        "variables": _named("AIRFLOW_VAR_", environments) if listed else None,
    }


def _serves(service: Mapping[str, Any]) -> bool:
    """Whether a service is a worker that runs."""
    return runs_worker(service) and as_object(service.get("deploy")).get("replicas") != 0


def _queues(workers: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the queues with the shortest time that one of their workers gives its tasks."""
    found: dict[str, float] = {}
    for worker in workers:
        grace = seconds(str(worker.get("stop_grace_period", ""))) or _DOCKERS_GRACE_SECONDS
        names = worker_flags(worker).queues or _default_queue(worker)
        for name in names.split(","):
            found[name] = min(grace, found.get(name, grace))
    return found


def _default_queue(service: Mapping[str, Any]) -> str:
    return environment_of(service).get(_DEFAULT_QUEUE) or _AIRFLOWS_DEFAULT_QUEUE


def _connections(
    services: Iterable[Mapping[str, Any]], environments: Iterable[Mapping[str, str]]
) -> list[str]:
    secrets = {name for service in services for name in file_sources(service, "secrets")}
    databases = DATABASES if WAREHOUSE_PASSWORD in secrets else ()
    server = (mail.CONNECTION,) if mail.CONNECTION in secrets else ()
    return sorted({*databases, *server, *_named("AIRFLOW_CONN_", environments)})


def _named(prefix: str, environments: Iterable[Mapping[str, str]]) -> list[str]:
    """Return what environment variables define; Airflow reads their names in capitals."""
    return sorted(
        {
            name.removeprefix(prefix).lower()
            for environment in environments
            for name in environment
            if name.startswith(prefix)
        }
    )


def _has_own_backend(environment: Mapping[str, str]) -> bool:
    return any(environment.get(name) or environment.get(f"{name}_CMD") for name in _BACKENDS)
