"""What the compose file asks of parts that have a hard limit, with the settings' figures. No I/O.

`infra.settings.capacity` checks the settings alone, before the compose file is read.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import combinations
from typing import TYPE_CHECKING, Any

from infra.settings import capacity
from infra.settings.types import overlay_network
from infra.stack import memory_settings, network
from infra.stack.connections import connection_problems
from infra.stack.loads import demand_on
from infra.stack.network import NETWORK, written_subnets
from infra.stack.own_files import is_external
from infra.stack.problems import Problem
from infra.stack.quantities import size_bytes
from infra.stack.services import WORKER
from infra.stack.yaml_values import as_list, as_object

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from infra.settings.target_rules import TargetRules
    from infra.stack.loads import Load
    from infra.stack.options import StackOptions
    from infra.stack.render import Document, Prepared

HEADLINE = "These settings and docker-compose.yaml ask for what the cluster does not have:"

_DOCKERS_PREFIX = 24
"""Of a network that has no subnet in the compose file: the swarm takes it from its own pool."""


def excess(
    ready: Prepared,
    options: StackOptions,
    settings: Mapping[str, Any],
    target: TargetRules[Any],
) -> Iterator[Problem]:
    """Find what cannot work; ``settings`` are by their keys in ``Pulumi.yaml``."""
    yield from _redis(ready.loads)
    yield from connection_problems(ready.services, ready.loads, options.airflow_variables)
    yield from _memory(ready.services, options.memory_limits)
    wrong = list(_subnets(ready.source, settings, target))
    yield from wrong
    if not wrong:
        yield from _addresses(ready, options, settings)


def _redis(loads: Iterable[Load]) -> Iterator[Problem]:
    workers = [load for load in loads if load.slots]
    clients = capacity.redis_clients(
        slots=sum(load.tasks * load.slots for load in workers),
        workers=sum(load.tasks for load in workers),
    )
    if clients > capacity.REDIS_CLIENTS:
        figures = " + ".join(f"{one.service} {one.tasks:,} x {one.slots:,}" for one in workers)
        largest = max(workers, key=lambda one: one.tasks * one.slots)
        yield Problem(
            path=f"services.{largest.service}",
            valid=f"fewer tasks at the same time are needed: with {figures}, Redis, the queue, has"
            f" {clients:,} clients (one for each task, {capacity.CLIENTS_OF_A_WORKER} for each"
            f" Celery worker, {capacity.OTHER_CLIENTS} others), and takes"
            f" {capacity.REDIS_CLIENTS:,}",
            advice="set fewer replicas, or a smaller --concurrency or workerConcurrency",
        )


def _memory(services: Mapping[str, Document], by_setting: Collection[str]) -> Iterator[Problem]:
    for name, service in services.items():
        resources = as_object(as_object(service["deploy"]).get("resources"))
        given = as_object(resources.get("limits")).get("memory")
        reserved = as_object(resources.get("reservations")).get("memory", "0")
        least = _least_limit(name, size_bytes(reserved) or 0)
        if given is None or (size_bytes(given) or 0) >= least:
            continue
        path = f"services.{name}.deploy.resources.limits.memory"
        yield Problem(
            path=f"memoryLimits.{name}" if _is_setting(name, by_setting) else path,
            given=repr(given),
            valid=f"valid: a size from {least // memory_settings.MIB}m on, since the service"
            f" reserves {reserved} and ends if it reaches its limit",
            advice=memory_settings.command(name),
        )


def _least_limit(service: str, reserved: int) -> int:
    """Return the least limit in bytes: what the project's services need when idle fits in it."""
    if service != WORKER and service not in memory_settings.SERVICES:
        return reserved
    return max(2 * reserved, memory_settings.IDLE_MIB.get(service, 0) * memory_settings.MIB)


def _is_setting(service: str, by_setting: Collection[str]) -> bool:
    return service in by_setting and service in memory_settings.SERVICES


def _subnets(
    source: Mapping[str, Any], settings: Mapping[str, Any], target: TargetRules[Any]
) -> Iterator[Problem]:
    """Check what the compose file writes as ``overlayNetwork`` is checked, and one by another."""
    found: dict[str, IPv4Network] = {}
    for name, declared in as_object(source.get("networks")).items():
        ipam = as_object(as_object(declared).get("ipam"))
        for number, entry in enumerate(as_list(ipam.get("config"))):
            path = f"networks.{name}.ipam.config[{number}].subnet"
            given = str(as_object(entry).get("subnet") or "")
            try:
                found[path] = IPv4Network(overlay_network(given or "none"))
            except ValueError as error:
                yield Problem(path=path, given=repr(given), valid=f"valid: {error}")
    for path, subnet in found.items():
        if other := capacity.overlap(target, settings, subnet):
            why, there = other
            yield Problem(
                path=path,
                given=repr(str(subnet)),
                valid=f"valid: a network that does not overlap {there}: {why}",
            )
    if chosen := str(settings.get("overlayNetwork") or ""):
        if NETWORK in written_subnets(source):
            yield Problem(
                path=f"networks.{NETWORK}.ipam",
                valid=f"the setting overlayNetwork, {chosen}, is this network's subnet as well",
                advice="remove one of them",
            )
        else:
            found["the setting overlayNetwork"] = IPv4Network(chosen)
    for (one, subnet), (other, there) in combinations(found.items(), 2):
        if subnet.overlaps(there):
            yield Problem(
                path=one, given=repr(str(subnet)), valid=f"it overlaps {there}, which is {other}"
            )


def _addresses(
    ready: Prepared, options: StackOptions, settings: Mapping[str, Any]
) -> Iterator[Problem]:
    declared = as_object(ready.source.get("networks"))
    written = written_subnets(ready.source)
    for name in sorted({name for load in ready.loads for name in load.networks}):
        if is_external(as_object(declared.get(name))):
            continue
        demand = demand_on(name, ready.loads, options.nodes)
        chosen = str(settings.get("overlayNetwork") or f"0.0.0.0/{network.WIDEST_PREFIX}")
        subnet = written.get(name) or (chosen if name == NETWORK else f"0.0.0.0/{_DOCKERS_PREFIX}")
        room = network.capacity(subnet)
        if demand.addresses > room:
            yield Problem(
                path=f"networks.{name}",
                valid=f"{demand.addresses:,} addresses are needed ({demand}), and it has {room:,}",
                advice="set fewer replicas, or a larger network"
                + (
                    " (overlayNetwork)"
                    if name == NETWORK and name not in written
                    else f" (networks.{name}.ipam.config[0].subnet)"
                ),
            )
