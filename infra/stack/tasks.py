"""Parses a manager's lists of a stack's services and tasks. Pure: parsing only."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.stack.placement import Wants, parse_wants

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DIGEST_LABEL = "dairflow.digest"
"""Label of every service: the digest of the document that it was deployed from."""

TIME_LABEL = "dairflow.deployed"
"""Label of every service: the time of its last deployment, in ISO 8601."""

WORKER_LABEL = "dairflow.worker"
"""Label of services that run Celery workers: their tasks may take long to stop."""

GONE = frozenset({"complete", "failed", "rejected", "shutdown", "orphaned", "remove"})
"""Task states after which nothing runs any more (swarmkit's api/types.proto)."""

CONTAINER_KEYS = (
    "Image",
    "Command",
    "Args",
    "Env",
    "Hostname",
    "Mounts",
    "Healthcheck",
    "Secrets",
    "Configs",
)
"""Keys that distinguish two versions of a task: others (``StopGracePeriod``, ``DNSConfig``) are
listed with their defaults for a service, and left out for its tasks."""

FAILURES = frozenset({"failed", "rejected"})

ENDS_BY_ITSELF = frozenset({"none", "on-failure"})
"""The restart conditions of a service whose task is complete after it has succeeded."""

_AGE = re.compile(r"\s+(about|less|\d|an?\s).*$", re.IGNORECASE)
_AGE_IN_UNITS = re.compile(r"(?P<count>\d+|an?) (?P<unit>[a-z]+?)s? ago$", re.IGNORECASE)
_SECONDS = {"second": 1, "minute": 60}
_LONGER_SECONDS = 3_600


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task of a service: a container, or a request for one."""

    id: str
    slot: str
    service: str
    node: str
    image: str
    wanted: str
    state: str
    error: str
    age_seconds: int = 0


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service's specification on the swarm; ``replicas`` is None for one task on each node."""

    name: str
    image: str
    replicas: int | None
    digest: str
    ends: bool
    update_state: str
    update_message: str
    container: Mapping[str, Any]
    wants: Wants
    is_worker: bool = False


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A stack's services and tasks at one moment; of each slot the newest task comes first."""

    services: tuple[Service, ...]
    tasks: tuple[Task, ...]

    def newest(self, service: Service) -> list[Task]:
        """Return the newest task of each current slot of a service."""
        found: dict[str, Task] = {}
        for task in self.tasks:
            if task.service == service.name:
                found.setdefault(task.slot, task)
        if service.ends:
            return list(found.values())
        return [task for task in found.values() if task.wanted not in {"shutdown", "remove"}]

    def leaving(self, service: Service) -> list[Task]:
        """Return the tasks that are stopping and still run."""
        return [
            task
            for task in self.tasks
            if task.service == service.name
            and task.wanted in {"shutdown", "remove"}
            and task.state not in GONE
        ]


def parse_tasks(stack: str, text: str) -> tuple[Task, ...]:
    """Parse ``docker stack ps --no-trunc --format '{{json .}}'``."""
    return tuple(_task(stack, json.loads(line)) for line in text.splitlines() if line.strip())


def parse_services(stack: str, text: str) -> tuple[Service, ...]:
    """Parse ``docker service inspect --format '{{json .}}'`` of a stack's services."""
    services = [_service(stack, json.loads(line)) for line in text.splitlines() if line.strip()]
    return tuple(sorted(services, key=lambda service: service.name))


def parse_task_containers(text: str) -> dict[str, Mapping[str, Any]]:
    """Parse ``docker inspect --type task --format '{{json .}}'``: task ID → container spec."""
    found: Iterable[dict[str, Any]] = (json.loads(line) for line in text.splitlines() if line)
    return {task["ID"]: _identity(task["Spec"].get("ContainerSpec", {})) for task in found}


def _task(stack: str, raw: Mapping[str, str]) -> Task:
    slot = raw["Name"].removeprefix(" \\_ ").strip().removeprefix(f"{stack}_")
    return Task(
        id=raw["ID"],
        slot=slot,
        service=slot.rsplit(".", 1)[0],
        node=raw["Node"],
        image=raw["Image"],
        wanted=raw["DesiredState"].lower(),
        state=_AGE.sub("", raw["CurrentState"]).strip().lower(),
        error=raw["Error"].strip('"'),
        age_seconds=_age_seconds(raw["CurrentState"]),
    )


def _age_seconds(state: str) -> int:
    """Parse how long a task has been in its state, up to an hour: "New 12 seconds ago"."""
    match = _AGE_IN_UNITS.search(state)
    if not match or "less than" in state:
        return 0
    count = int(match["count"]) if match["count"].isdigit() else 1
    return count * _SECONDS.get(match["unit"].lower(), _LONGER_SECONDS)


def _service(stack: str, raw: Mapping[str, Any]) -> Service:
    spec: dict[str, Any] = raw["Spec"]
    template: dict[str, Any] = spec["TaskTemplate"]
    update: dict[str, str] = raw.get("UpdateStatus") or {}
    restart: dict[str, Any] = template.get("RestartPolicy") or {}
    replicated: dict[str, int] | None = spec["Mode"].get("Replicated")
    return Service(
        name=spec["Name"].removeprefix(f"{stack}_"),
        image=template["ContainerSpec"]["Image"],
        replicas=None if replicated is None else replicated.get("Replicas", 1),
        digest=spec.get("Labels", {}).get(DIGEST_LABEL, ""),
        ends=restart.get("Condition", "any") in ENDS_BY_ITSELF,
        update_state=update.get("State", ""),
        update_message=update.get("Message", ""),
        container=_identity(template["ContainerSpec"]),
        wants=parse_wants(template),
        is_worker=WORKER_LABEL in spec.get("Labels", {}),
    )


def _identity(container: Mapping[str, Any]) -> dict[str, Any]:
    return {key: container.get(key) for key in CONTAINER_KEYS}
