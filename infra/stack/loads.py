"""What each rendered service puts on the cluster: tasks, slots, memory, addresses. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from infra.stack.network import Demand
from infra.stack.problems import Problem
from infra.stack.quantities import size_bytes
from infra.stack.services import networks_of, runs_worker
from infra.stack.slots import slot_problems, slots
from infra.stack.yaml_values import as_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Place = Literal["first manager", "manager", "worker", "any"]
"""The nodes that a service's constraints leave, as far as the settings say what they have."""

_CONSTRAINT = re.compile(r"\s*(?P<key>[\w.]+)\s*(?P<operator>==|!=)\s*(?P<value>.*?)\s*")
_PLACES: Mapping[tuple[str, str, str], Place] = {
    ("node.role", "==", "manager"): "manager",
    ("node.role", "!=", "worker"): "manager",
    ("node.role", "==", "worker"): "worker",
    ("node.role", "!=", "manager"): "worker",
    ("node.labels.dairflow.primary", "==", "true"): "first manager",
}
_NARROWNESS: Mapping[Place, int] = {"any": 0, "worker": 1, "manager": 2, "first manager": 3}


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """How many nodes the cluster has."""

    managers: int
    workers: int

    def at(self, place: Place) -> int:
        """Return how many nodes a place has."""
        counts: Mapping[Place, int] = {
            "first manager": 1,
            "manager": self.managers,
            "worker": self.workers,
            "any": self.managers + self.workers,
        }
        return counts[place]


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one service puts on the cluster.

    ``on_each`` is how many of its tasks every node of its place has at least. ``beside`` is how
    many more run during an update, as start-first has it. ``memory`` is what each task reserves,
    in bytes; ``slots`` is what each task of a worker service has, and 0 for other services.
    """

    service: str
    place: Place
    tasks: int
    on_each: int
    beside: int
    memory: int
    networks: tuple[str, ...]
    slots: int


def loads(services: Mapping[str, Mapping[str, Any]], nodes: Nodes) -> list[Load]:
    """Return the load of each rendered service; there are no `load_problems`."""
    return [_load(name, service, nodes) for name, service in services.items()]


def load_problems(services: Mapping[str, Mapping[str, Any]], nodes: Nodes) -> Iterator[Problem]:
    """Find services whose tasks or slots cannot be counted, or have no node."""
    for name, service in services.items():
        path = f"services.{name}"
        is_worker = runs_worker(service)
        if is_worker:
            yield from slot_problems(path, service)
        yield from _of_the_tasks(path, service, nodes, is_worker=is_worker)


def demand_on(network: str, counted: Iterable[Load], nodes: Nodes) -> Demand:
    """Return what takes addresses in a network of the compose file."""
    there = [load for load in counted if network in load.networks]
    return Demand(
        managers=nodes.managers,
        worker_nodes=nodes.workers,
        workers=sum(load.tasks for load in there if load.slots),
        counted=sum(load.tasks for load in there if not load.slots),
    )


def _of_the_tasks(
    path: str, service: Mapping[str, Any], nodes: Nodes, *, is_worker: bool
) -> Iterator[Problem]:
    deploy = as_object(service["deploy"])
    place, is_narrowed = _place(deploy)
    if deploy.get("mode") == "global":
        if is_worker and is_narrowed:
            yield Problem(
                path=f"{path}.deploy.mode",
                given="'global'",
                valid="valid: replicated, since the number of nodes that its constraints leave is"
                " not in the settings, and Airflow's parallelism is the number of slots",
                advice="set deploy.replicas to the number of those nodes, with"
                " placement.max_replicas_per_node: 1",
            )
        return
    most = _most_on_a_node(deploy)
    tasks, there = _replicas(deploy), nodes.at(place)
    if most and tasks > most * there:
        yield Problem(
            path=f"{path}.deploy.replicas",
            given=str(tasks),
            valid=f"valid: up to {most * there}: {most} (max_replicas_per_node) on each of"
            f" {there} {'nodes' if place == 'any' else place + ' nodes'}",
            advice="set fewer replicas, or placement.max_replicas_per_node",
        )


def _load(name: str, service: Mapping[str, Any], nodes: Nodes) -> Load:
    deploy = as_object(service["deploy"])
    place, is_narrowed = _place(deploy)
    there = nodes.at(place)
    if deploy.get("mode") == "global":
        tasks, on_each = there, 0 if is_narrowed else 1
    else:
        tasks, most = _replicas(deploy), _most_on_a_node(deploy)
        elsewhere = (there - 1) * (most or tasks)
        on_each = 0 if is_narrowed else max(0, tasks - elsewhere)
    update = as_object(deploy.get("update_config"))
    at_a_time = int(update.get("parallelism", 1)) or tasks
    reserved = as_object(as_object(deploy.get("resources")).get("reservations"))
    return Load(
        service=name,
        place=place,
        tasks=tasks,
        on_each=on_each,
        beside=min(tasks, at_a_time) if update.get("order") == "start-first" else 0,
        memory=size_bytes(reserved.get("memory", 0)) or 0,
        networks=tuple(networks_of(service)),
        slots=slots(service) if runs_worker(service) else 0,
    )


def _place(deploy: Mapping[str, Any]) -> tuple[Place, bool]:
    """Return the place that constraints leave, and whether they leave only some of its nodes."""
    place: Place = "any"
    is_narrowed = False
    for constraint in as_object(deploy.get("placement")).get("constraints") or ():
        match = _CONSTRAINT.fullmatch(str(constraint))
        found = _PLACES.get((match["key"], match["operator"], match["value"])) if match else None
        if found is None:
            is_narrowed = True
        else:
            place = found if _NARROWNESS[found] > _NARROWNESS[place] else place
    return place, is_narrowed


def _replicas(deploy: Mapping[str, Any]) -> int:
    return int(deploy.get("replicas", 1))


def _most_on_a_node(deploy: Mapping[str, Any]) -> int:
    return int(as_object(deploy.get("placement")).get("max_replicas_per_node") or 0)
