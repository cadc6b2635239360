"""Reads a service of the compose file: whether the swarm runs it, and its references. Pure."""

from __future__ import annotations

import shlex
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from infra.stack.yaml_values import as_list, as_object

if TYPE_CHECKING:
    from collections.abc import Mapping

WORKER = "worker"
"""The argument with which Airflow's entry point starts a Celery worker, and that service's name."""

BROKER_SECRET = "redis_password"  # noqa: S105 - its name


def is_on_swarm(service: Mapping[str, Any]) -> bool:
    """Whether the swarm runs a service: it does not run services with profiles."""
    return not service.get("profiles")


def runs_worker(service: Mapping[str, Any]) -> bool:
    """Whether a service is a Celery worker: it has the broker's password and a worker's command."""
    command = _words(service.get("command"))
    words = [*_words(service.get("entrypoint")), *command]
    is_celerys = ("celery", WORKER) in pairwise(words)
    return BROKER_SECRET in file_sources(service, "secrets") and (
        command[:1] == [WORKER] or is_celerys
    )


def words_of(service: Mapping[str, Any]) -> list[str]:
    """Return the words of a service's entry point and command."""
    return [*_words(service.get("entrypoint")), *_words(service.get("command"))]


def worker_arguments(service: Mapping[str, Any]) -> list[str]:
    """Return what follows the word ``worker`` in a worker service's command."""
    words = words_of(service)
    return words[words.index(WORKER) + 1 :]


def environment_of(service: Mapping[str, Any]) -> dict[str, str]:
    """Return a service's environment, which is an object once the service is rendered."""
    return as_object(service.get("environment"))


def networks_of(service: Mapping[str, Any]) -> dict[str, Any]:
    """Return a service's networks with their options; the default network if it has none."""
    given: object = service.get("networks")
    listed = {str(name): None for name in as_list(given)}
    return listed or as_object(given) or {"default": None}


def file_sources(service: Mapping[str, Any], kind: str) -> list[str]:
    """Return the names of the secrets, or the configs, that a service refers to."""
    return [source for entry in as_list(service.get(kind)) if (source := _source(entry))]


def _source(entry: object) -> str:
    return entry if isinstance(entry, str) else str(as_object(entry).get("source") or "")


def _words(value: object) -> list[str]:
    if isinstance(value, str):
        try:
            return shlex.split(value)
        except ValueError:
            return value.split()
    return [str(word) for word in as_list(value)]
