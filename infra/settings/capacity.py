"""Checks the settings against the hard limits of Redis and of networks. No I/O.

What also depends on the compose file, such as PostgreSQL's connections, is checked in
`infra.compose_capacity`. Tasks queue for the warehouse's connections in PgBouncer, with any
settings.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from infra.docker_networks import POOL
from infra.settings.problem import invalid
from infra.settings.types import overlay_network
from infra.stack import network
from infra.stack.network import Demand

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.settings.problem import Problem
    from infra.settings.target_rules import TargetRules

REDIS_CLIENTS = 10_000
"""Redis's `maxclients` by default."""
CLIENTS_OF_A_WORKER = 5
"""Connections of a Celery worker's main process: messages, events, remote control, results."""
OTHER_CLIENTS = 100
"""Connections of schedulers, Flower and health checks."""

_INGRESS = IPv4Network("10.0.0.0/24")


def conflicts(raw: Mapping[str, Any], target: TargetRules[Any]) -> Iterator[Problem]:
    """Report settings that exceed a limit, with all figures; skip values other than numbers."""
    managers, nodes = target.nodes(raw)
    workers = nodes * target.number(raw, "workersPerNode")
    concurrency = target.number(raw, "workerConcurrency")
    yield from _redis(raw, nodes=nodes, workers=workers, concurrency=concurrency)
    subnet = str(raw.get("overlayNetwork") or "")
    demand = Demand(managers=managers, worker_nodes=nodes, workers=workers)
    try:
        overlay_network(subnet)
    except ValueError:
        return  # the setting's own check reports it
    yield from _addresses(raw, subnet, demand)
    if subnet:
        yield from _overlaps(raw, target, IPv4Network(subnet))


def redis_clients(*, slots: int, workers: int) -> int:
    """Return how many clients the queue has: one for each task that runs, and their workers."""
    return slots + workers * CLIENTS_OF_A_WORKER + OTHER_CLIENTS


def _redis(
    raw: Mapping[str, Any], *, nodes: int, workers: int, concurrency: int
) -> Iterator[Problem]:
    slots = workers * concurrency
    clients = redis_clients(slots=slots, workers=workers)
    if clients <= REDIS_CLIENTS:
        return
    valid = (
        f"fewer tasks at the same time: {nodes:,} worker nodes x {workers // max(1, nodes):,}"
        f" workersPerNode x {concurrency:,} workerConcurrency = {slots:,}. Redis, the queue, would"
        f" have {clients:,} clients ({slots:,} tasks, {CLIENTS_OF_A_WORKER} for each of {workers:,}"
        f" Celery workers, {OTHER_CLIENTS} others), but accepts {REDIS_CLIENTS:,}"
    )
    given = raw.get("workerConcurrency", concurrency)
    yield invalid("workerConcurrency", given, valid)


def _addresses(raw: Mapping[str, Any], subnet: str, demand: Demand) -> Iterator[Problem]:
    if subnet:
        room = network.capacity(subnet)
    else:
        room = network.capacity(f"0.0.0.0/{network.WIDEST_PREFIX}")
    if demand.addresses > room:
        has = f"{subnet} has" if subnet else f"the largest, /{network.WIDEST_PREFIX}, has"
        valid = f"a network with {demand.addresses:,} addresses ({demand}); {has} {room:,}"
        yield invalid("overlayNetwork", raw.get("overlayNetwork", ""), valid)


def _overlaps(
    raw: Mapping[str, Any], target: TargetRules[Any], subnet: IPv4Network
) -> Iterator[Problem]:
    if found := overlap(target, raw, subnet):
        why, other = found
        valid = f"a network that does not overlap {other}: {why}"
        yield invalid("overlayNetwork", raw["overlayNetwork"], valid)


def overlap(
    target: TargetRules[Any], raw: Mapping[str, Any], subnet: IPv4Network
) -> tuple[str, IPv4Network] | None:
    """Return a network that is in use and overlaps a subnet, and who uses it."""
    others: list[tuple[str, IPv4Network]] = [
        ("Docker's own bridges come from it", pool) for pool in POOL
    ]
    others.append(("the swarm's ingress network is there", _INGRESS))
    others += target.networks(raw)
    return next(((why, other) for why, other in others if subnet.overlaps(other)), None)
