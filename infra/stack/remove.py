"""Take a stack away, and wait until nothing of it is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infra.remote.runner import Runner


def remove(
    runner: Runner,
    name: str,
    *,
    report: Callable[[str], None],
    nodes: Sequence[Runner] = (),
    volumes: bool = False,
    timeout: float = 180,
) -> None:
    """Remove the stack ``name``: services, tasks, networks, secrets and configs.

    ``nodes`` are the runners of the nodes whose volumes go too when ``volumes`` is set: a swarm
    does not know volumes. A stack that is not there is no error.

    Raises:
        StackError: when something of the stack is still there after ``timeout`` seconds.

    """
    raise NotImplementedError
