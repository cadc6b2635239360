"""Deploy a rendered stack through one manager, and wait until Airflow is healthy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.remote.runner import Runner
    from infra.stack.render import RenderedStack


@dataclass(frozen=True, kw_only=True)
class RegistryLogin:
    """How the nodes' engines sign in to the registry that the images come from."""

    address: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ServiceState:
    """One service as it runs: its image by digest, tasks wanted and tasks running."""

    name: str
    image: str
    desired: int
    running: int


@dataclass(frozen=True, kw_only=True)
class StackState:
    """The stack as it runs. ``digest`` is that of the document it was deployed from."""

    name: str
    digest: str
    services: tuple[ServiceState, ...]


def deploy(
    runner: Runner,
    rendered: RenderedStack,
    secrets: Mapping[str, str],
    *,
    registry: RegistryLogin | None = None,
    report: Callable[[str], None],
    timeout: float = 600,
) -> StackState:
    """Bring the stack to ``rendered`` and wait until every service has converged.

    Idempotent: what is there already stays, what differs is updated. ``runner`` is a manager's.
    ``timeout`` is in seconds; while a worker finishes its running tasks it is extended by the
    worker's grace period.

    Raises:
        StackError: when a task keeps failing, or the wait is over; see its own documentation.
        RemoteError: when the manager cannot be reached.

    """
    raise NotImplementedError


def observe(runner: Runner, name: str) -> StackState | None:
    """Return what runs of the stack now, or None where there is none."""
    raise NotImplementedError
