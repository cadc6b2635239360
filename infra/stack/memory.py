"""Whether the machines have the memory that the services reserve. Pure.

The swarm places no task on a node without the memory that it reserves, and a deployment would wait
for such a node. Only what is certain is an objection: how much each machine needs at least, and all
machines of a role together.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from infra.stack.quantities import size_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from infra.stack.loads import Load

SYSTEM_BYTES = 512 * 1024**2
"""Memory of a machine that the services cannot have: its system and engine use it."""

_MIB = 1024**2
_GIB = 1024**3
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Part:
    """Tasks of one service, and the memory in bytes that each reserves."""

    service: str
    tasks: int
    memory: int

    @property
    def total(self) -> int:
        """What all of them reserve, in bytes."""
        return self.tasks * self.memory

    def __str__(self) -> str:
        """Show how `total` is made up."""
        count = f"{self.tasks:,} x " if self.tasks > 1 else ""
        return f"{self.service} {count}{self.memory / _MIB:,.0f} MiB"


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What the services reserve, during an update.

    ``first_manager``, ``each_manager`` and ``each_worker`` are the least that such a machine needs;
    ``managers`` and ``workers`` are of all machines of a role, and ``all`` is of the whole cluster.
    """

    first_manager: tuple[Part, ...] = ()
    each_manager: tuple[Part, ...] = ()
    managers: tuple[Part, ...] = ()
    each_worker: tuple[Part, ...] = ()
    workers: tuple[Part, ...] = ()
    all: tuple[Part, ...] = ()
    task_memory: int = 0
    """Bytes that one task of Airflow's may take."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON that `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Needs:
        """Read what `to_dict` wrote; Pulumi turns whole numbers into floats."""
        parts = {
            key: tuple(
                Part(service=part["service"], tasks=int(part["tasks"]), memory=int(part["memory"]))
                for part in value
            )
            for key, value in record.items()
            if key != "task_memory"
        }
        return cls(**parts, task_memory=int(record["task_memory"]))


@dataclass(frozen=True, kw_only=True)
class MachineMemory:
    """A machine, or a number of equal ones, and the bytes of memory that each has."""

    name: str
    size: int
    count: int = 1


def needs(loads: Iterable[Load], task_memory: str) -> Needs:
    """Return what the services reserve; ``task_memory`` is a size such as ``512m``."""
    reserving = [load for load in loads if load.memory]
    on_managers = [load for load in reserving if load.place in ("first manager", "manager")]
    on_workers = [load for load in reserving if load.place == "worker"]
    anywhere = [load for load in reserving if load.place == "any"]
    return Needs(
        first_manager=_parts(on_managers + anywhere, on_each=True),
        each_manager=_parts(
            [load for load in on_managers if load.place == "manager"] + anywhere, on_each=True
        ),
        managers=_parts(on_managers),
        each_worker=_parts(on_workers + anywhere, on_each=True),
        workers=_parts(on_workers),
        all=_parts(reserving),
        task_memory=size_bytes(task_memory) or 0,
    )


def problems(
    needed: Needs, managers: Sequence[MachineMemory], workers: Sequence[MachineMemory]
) -> Iterator[str]:
    """Return what the machines lack; the first of ``managers`` is the cluster's first."""
    on_managers = [
        *_of_each(needed.first_manager, managers[:1]),
        *_of_each(needed.each_manager, managers[1:]),
    ] or _of_all("all managers together", needed.managers, managers)
    on_workers = _of_each(needed.each_worker, workers, "fewer workersPerNode, or ") or _of_all(
        "all workers together", needed.workers, workers
    )
    everywhere = _of_all("the whole cluster", needed.all, [*managers, *workers])
    yield from [*on_managers, *on_workers] or everywhere
    yield from _of_a_task(needed, workers)


def _of_each(
    parts: Sequence[Part], machines: Sequence[MachineMemory], advice: str = ""
) -> list[str]:
    small = [one for one in machines if _room(one) < _total(parts)]
    if not small:
        return []
    return [
        (
            f"{_names(small)}: the services reserve {_shown(parts)} there, and"
            f" {_has(min(small, key=_room))}.\nNext: {advice}a machine with more memory; or lower"
            " the reservations in docker-compose.yaml"
        )
    ]


def _of_all(who: str, parts: Sequence[Part], machines: Sequence[MachineMemory]) -> list[str]:
    room = sum(_room(one) * one.count for one in machines)
    if room >= _total(parts):
        return []
    return [
        (
            f"{who}: the services reserve {_shown(parts)}, and the machines have"
            f" {room / _GIB:.1f} GiB, without {SYSTEM_BYTES / _GIB:g} GiB on each for the"
            " system.\nNext: fewer tasks of these services, or more memory"
        )
    ]


def problems_of_one(needed: Needs, machine: MachineMemory) -> Iterator[str]:
    """Return what a machine lacks that has all nodes of the cluster."""
    if _room(machine) < _total(needed.all):
        yield (
            f"{machine.name}, which has all nodes: the services reserve {_shown(needed.all)}, and"
            f" {_has(machine)}.\nNext: fewer workers or workersPerNode, or a machine with more"
            " memory"
        )
    yield from _of_a_task(needed, [machine])


def _of_a_task(needed: Needs, workers: Sequence[MachineMemory]) -> Iterator[str]:
    if small := [one for one in workers if _room(one) < needed.task_memory]:
        yield (
            f"{_names(small)}: a task may take {needed.task_memory / _GIB:,.1f} GiB (taskMemory),"
            f" and {_has(min(small, key=_room))}.\nNext: a smaller taskMemory, or a machine with"
            " more memory"
        )


def _parts(loads: Iterable[Load], *, on_each: bool = False) -> tuple[Part, ...]:
    found = ((load, _least(load) if on_each else load.tasks + load.beside) for load in loads)
    return tuple(
        Part(service=load.service, tasks=tasks, memory=load.memory)
        for load, tasks in found
        if tasks
    )


def _least(load: Load) -> int:
    return load.on_each + (1 if load.beside and load.on_each else 0)


def _total(parts: Iterable[Part]) -> int:
    return sum(part.total for part in parts)


def _shown(parts: Sequence[Part]) -> str:
    listed = ", ".join(str(part) for part in sorted(parts, key=lambda one: -one.total))
    return f"{_total(parts) / _GIB:,.1f} GiB ({listed})"


def _has(machine: MachineMemory) -> str:
    return (
        f"it has {machine.size / _GIB:.1f} GiB, of which the system takes"
        f" {SYSTEM_BYTES / _GIB:g} GiB"
    )


def _names(machines: Sequence[MachineMemory]) -> str:
    names = [one.name for one in machines]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _room(machine: MachineMemory) -> int:
    return max(0, machine.size - SYSTEM_BYTES)
