"""Checks the settings against the hard limits of Redis and of networks. No I/O.

What also depends on the compose file, such as PostgreSQL's connections, is checked in
`infra.compose_capacity`. Tasks queue for the warehouse's connections in PgBouncer, with any
settings.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any, cast

from infra.machines.aws.settings import DEFAULT_VPC
from infra.machines.docker_networks import POOL
from infra.stack import network
from infra.stack.network import Demand

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.settings.types import Problem

REDIS_CLIENTS = 10_000
"""Redis's `maxclients` by default."""
CLIENTS_OF_A_WORKER = 5
"""Connections of a Celery worker's main process: messages, events, remote control, results."""
OTHER_CLIENTS = 100
"""Connections of schedulers, Flower and health checks."""

_INGRESS = IPv4Network("10.0.0.0/24")
_LOCAL_MACHINES = IPv4Network("10.213.0.0/16")
_PRIVATE = tuple(
    IPv4Network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)


def overlay_network(value: str) -> str:
    """Check that a text is a valid network for the stack; empty means an automatic choice."""
    if not value:
        return value
    try:
        subnet = IPv4Network(value)
    except ValueError:
        subnet = None
    if (
        subnet is None
        or not network.WIDEST_PREFIX <= subnet.prefixlen <= network.NARROWEST_PREFIX
        or not any(subnet.subnet_of(private) for private in _PRIVATE)
    ):
        msg = (
            f"a private IPv4 network of /{network.WIDEST_PREFIX} to /{network.NARROWEST_PREFIX},"
            " such as 10.192.0.0/20"
        )
        raise ValueError(msg)
    return str(subnet)


def conflicts(raw: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[Problem]:
    """Report settings that exceed a limit, with all figures; skip values other than numbers."""
    managers, nodes = _nodes(raw, defaults)
    workers = nodes * _number(raw, defaults, "workersPerNode")
    concurrency = _number(raw, defaults, "workerConcurrency")
    yield from _redis(raw, defaults, nodes=nodes, workers=workers, concurrency=concurrency)
    subnet = str(raw.get("overlayNetwork") or "")
    demand = Demand(managers=managers, worker_nodes=nodes, workers=workers)
    try:
        overlay_network(subnet)
    except ValueError:
        return  # the setting's own check reports it
    yield from _addresses(raw, subnet, demand)
    if subnet:
        yield from _overlaps(raw, IPv4Network(subnet))


def redis_clients(*, slots: int, workers: int) -> int:
    """Return how many clients the queue has: one for each task that runs, and their workers."""
    return slots + workers * CLIENTS_OF_A_WORKER + OTHER_CLIENTS


def _redis(
    raw: Mapping[str, Any],
    defaults: Mapping[str, Any],
    *,
    nodes: int,
    workers: int,
    concurrency: int,
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
    yield "workerConcurrency", raw.get("workerConcurrency", defaults["workerConcurrency"]), valid


def _addresses(raw: Mapping[str, Any], subnet: str, demand: Demand) -> Iterator[Problem]:
    if subnet:
        room = network.capacity(subnet)
    else:
        room = network.capacity(f"0.0.0.0/{network.WIDEST_PREFIX}")
    if demand.addresses > room:
        has = f"{subnet} has" if subnet else f"the largest, /{network.WIDEST_PREFIX}, has"
        valid = f"a network with {demand.addresses:,} addresses ({demand}); {has} {room:,}"
        yield "overlayNetwork", raw.get("overlayNetwork", ""), valid


def _overlaps(raw: Mapping[str, Any], subnet: IPv4Network) -> Iterator[Problem]:
    if found := overlap(raw, subnet):
        why, other = found
        valid = f"a network that does not overlap {other}: {why}"
        yield "overlayNetwork", raw["overlayNetwork"], valid


def overlap(raw: Mapping[str, Any], subnet: IPv4Network) -> tuple[str, IPv4Network] | None:
    """Return a network that is in use and overlaps a subnet, and who uses it."""
    others: list[tuple[str, IPv4Network]] = [
        ("Docker's own bridges come from it", pool) for pool in POOL
    ]
    others.append(("the swarm's ingress network is there", _INGRESS))
    match raw.get("target", "local"):
        case "local":
            others.append(("the nodes of target local are there", _LOCAL_MACHINES))
        case "aws" if not raw.get("awsSubnetIds"):
            vpc = _network(raw.get("awsVpcCidr", DEFAULT_VPC))
            others += [("it is awsVpcCidr, the network of the machines", vpc)] if vpc else []
        case "existing":
            others += [
                (f"the host {host.get('name', '')} is there", address)
                for host in _hosts(raw)
                for key in ("address", "privateAddress")
                if (address := _network(host.get(key)))
            ]
        case _:
            pass
    return next(((why, other) for why, other in others if subnet.overlaps(other)), None)


def _nodes(raw: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[int, int]:
    if raw.get("target") == "existing":
        roles = [host.get("role") for host in _hosts(raw)]
        return roles.count("manager"), roles.count("worker")
    return _number(raw, defaults, "managers"), _number(raw, defaults, "workers")


def _hosts(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    hosts = raw.get("hosts")
    entries = cast("list[Any]", hosts) if isinstance(hosts, list) else []
    return [cast("dict[str, Any]", entry) for entry in entries if isinstance(entry, dict)]


def _number(raw: Mapping[str, Any], defaults: Mapping[str, Any], key: str) -> int:
    given = str(raw.get(key, defaults[key]))
    return int(given) if re.fullmatch(r"[0-9]{1,9}", given) else int(defaults[key])


def _network(value: object) -> IPv4Network | None:
    try:
        return IPv4Network(str(value))
    except ValueError:
        return None
