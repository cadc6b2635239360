"""Memory settings: the limit of each service, and of a worker by its number of tasks."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from infra.settings.problem import invalid, unknown, unused
from infra.stack.memory_settings import MIB, SERVICES
from infra.stack.quantities import size_bytes
from infra.stack.services import WORKER
from infra.stack.yaml_values import as_object, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.settings.problem import Problem

WORKERS_OWN_MIB = 512
"""Memory of a worker without its tasks: Celery's processes, with Airflow imported in each."""

LEAST_MIB = 128
VALID = f"a size from {LEAST_MIB}m on, such as 512m or 2g"


def memory_limits(task_memory: str, tasks: int, given: Mapping[str, object]) -> dict[str, str]:
    """Return the limits by service; ``tasks`` is the number of tasks that a worker runs at once."""
    worker = WORKERS_OWN_MIB + tasks * (size_bytes(task_memory) or 0) // MIB
    return {**{name: str(size) for name, size in given.items()}, WORKER: f"{worker}m"}


def memory_problems(raw: Mapping[str, object]) -> Iterator[Problem]:
    """Report problems of ``memoryLimits`` and ``taskMemory``."""
    task = raw.get("taskMemory")
    if task is not None and not _is_enough(task):
        yield invalid("taskMemory", task, VALID)
    if not is_object(raw.get("memoryLimits")):
        return
    for name, size in as_object(raw["memoryLimits"]).items():
        key = f"memoryLimits.{name}"
        if name == WORKER:
            yield unused(key, "It is derived from workerConcurrency: set taskMemory instead.")
        elif name not in SERVICES:
            close = difflib.get_close_matches(name, SERVICES, n=1)
            yield unknown(
                key,
                "service",
                valid=f"one of {', '.join(SERVICES)}",
                suggestion=close[0] if close else "",
                hint="" if close else "A service of yours has its limit in docker-compose.yaml.",
            )
        elif not _is_enough(size):
            yield invalid(key, size, VALID)


def _is_enough(size: object) -> bool:
    return (size_bytes(size) or 0) >= LEAST_MIB * MIB
