"""Describes why the swarm does not place a task. Pure.

A ``new`` task does not have an address yet, which takes a moment. Swarmkit's allocator leaves it in
this state, without an error, if its network has none left. A ``pending`` task has an address and no
node: the scheduler's error counts the nodes that each of its filters rejected (swarmkit's
``manager/scheduler/filter.go``).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.stack.tasks import Snapshot, Task

NO_ADDRESS = "no address is left in its network"

NEW_SECONDS = 15
"""How long a task may be ``new`` before this counts as a lack of addresses."""

_NO_NODE = re.compile(r"no suitable node \((?P<reasons>.*)\)")
_NODES = re.compile(r"\b(?P<count>\d+) nodes?\b")
_BYTES_OF_A_GIBIBYTE = 1024**3
_NANO_CPUS = 10**9


@dataclass(frozen=True, kw_only=True)
class Wants:
    """Requirements of a service for a node; None and empty mean no requirement."""

    memory_bytes: int | None = None
    nano_cpus: int | None = None
    constraints: tuple[str, ...] = ()
    max_replicas: int | None = None


def parse_wants(template: Mapping[str, Any]) -> Wants:
    """Read a service's ``TaskTemplate``."""
    resources: Mapping[str, Any] = template.get("Resources") or {}
    reserved: Mapping[str, int] = resources.get("Reservations") or {}
    placement: Mapping[str, Any] = template.get("Placement") or {}
    return Wants(
        memory_bytes=reserved.get("MemoryBytes") or None,
        nano_cpus=reserved.get("NanoCPUs") or None,
        constraints=tuple(placement.get("Constraints") or ()),
        max_replicas=placement.get("MaxReplicas") or None,
    )


def cause(task: Task, wants: Wants) -> str:
    """Return why a task has no node; empty if it has one, or is about to get one."""
    if task.node:
        return ""
    if task.state == "new":
        return NO_ADDRESS if task.age_seconds >= NEW_SECONDS else ""
    match = _NO_NODE.search(task.error)
    if task.state != "pending" or not match:
        return ""
    return ", ".join(_reason(reason, wants) for reason in match["reasons"].split("; "))


def causes(snapshot: Snapshot) -> list[str]:
    """Return a line for each service with tasks that have no node, and each cause."""
    found = Counter(
        (service.name, reason)
        for service in snapshot.services
        for task in snapshot.newest(service)
        if (reason := cause(task, service.wants))
    )
    return [
        f"{name}: {count} {'task has' if count == 1 else 'tasks have'} no node: {reason}"
        for (name, reason), count in found.items()
    ]


def _reason(text: str, wants: Wants) -> str:
    match = _NODES.search(text)
    nodes = "nodes" if match is None else f"{match['count']} node{'s' * (match['count'] != '1')}"
    for known, describe in _REASONS.items():
        if known in text:
            return describe(nodes, wants)
    return text


def _resources(nodes: str, wants: Wants) -> str:
    asked: list[str] = []
    if wants.memory_bytes:
        asked.append(f"{wants.memory_bytes / _BYTES_OF_A_GIBIBYTE:.2f} GiB of memory")
    if wants.nano_cpus:
        asked.append(f"{wants.nano_cpus / _NANO_CPUS:g} CPUs")
    reserves = f" (the task reserves {' and '.join(asked)})" if asked else ""
    return f"{nodes} with too little memory or CPU left{reserves}"


_REASONS: Mapping[str, Callable[[str, Wants], str]] = {
    "not available for new tasks": lambda nodes, _: f"{nodes} down, paused or drained",
    "insufficient resources": _resources,
    "scheduling constraints not satisfied": lambda nodes, wants: (
        f"{nodes} that the constraint {' and '.join(wants.constraints)} excludes"
    ),
    "max replicas per node": lambda nodes, wants: (
        f"{nodes} with as many tasks of the service as it permits on one ({wants.max_replicas})"
    ),
    "host-mode port already in use": lambda nodes, _: f"{nodes} on which its port is in use",
}
