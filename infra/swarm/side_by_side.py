"""Runs calls on threads, and reports all their errors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from infra.remote.runner import RemoteError
from infra.swarm.errors import SwarmError
from infra.swarm.step import SIDE_BY_SIDE

if TYPE_CHECKING:
    from collections.abc import Callable


def side_by_side(calls: list[Callable[[], None]], *, at_once: int = SIDE_BY_SIDE) -> None:
    """Run the calls on threads, ``at_once`` at a time, and wait for all of them.

    Raises: RemoteError, SwarmError: the error of the one call that failed.
        SwarmError: if several failed; its text has all of theirs.

    """
    if len(calls) == 1:
        calls[0]()
        return
    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="swarm") as threads:
        futures = [threads.submit(call) for call in calls]
    failures = [failure for future in futures if (failure := future.exception()) is not None]
    unexpected = [f for f in failures if not isinstance(f, RemoteError | SwarmError)]
    if unexpected:
        raise unexpected[0]
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise SwarmError("\n".join(str(failure) for failure in failures)) from failures[0]
