"""The memory that a service may take on a node: every service has a limit. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.stack.problems import Problem
from infra.stack.quantities import size_bytes
from infra.stack.services import WORKER, runs_worker
from infra.stack.yaml_values import as_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OWN_SERVICE = "1g"
"""The limit of a service of the user's that sets none."""


def worker_limit(by_setting: Mapping[str, str]) -> str:
    """Return the limit of a worker service that sets none; ``by_setting`` are the settings'."""
    return by_setting.get(WORKER, OWN_SERVICE)


def memory_limit(service: Mapping[str, Any], worker_memory: str) -> str:
    """Return a service's limit: its own, or that of a worker's tasks, or :data:`OWN_SERVICE`."""
    own = _written(service, "limits", "mem_limit")
    if own is not None:
        return str(own)
    return worker_memory if runs_worker(service) else OWN_SERVICE


def limit_problems(path: str, service: Mapping[str, Any], worker_memory: str) -> Iterator[Problem]:
    """Find a reservation above the limit, with which no node creates the container."""
    reserved = _written(service, "reservations", "mem_reservation")
    limit = memory_limit(service, worker_memory)
    if (size_bytes(reserved) or 0) > (size_bytes(limit) or 0):
        yield Problem(
            path=f"{path}.deploy.resources.reservations.memory",
            given=repr(reserved),
            valid=f"valid: up to the service's limit, which is {limit}",
            advice="set deploy.resources.limits.memory to what the service may take",
        )


def _written(service: Mapping[str, Any], kind: str, beside: str) -> object:
    resources = as_object(as_object(service.get("deploy")).get("resources"))
    own = as_object(resources.get(kind)).get("memory")
    return service.get(beside) if own is None else own
