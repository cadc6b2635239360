"""Waits until a promotion or demotion is complete: both commands only request it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tenacity

from infra.remote.runner import RemoteError
from infra.swarm import commands
from infra.swarm.errors import SwarmError

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.remote.runner import Runner
    from infra.swarm.steps import Demote, Promote

ROLE_CHANGE_SECONDS = 60.0


def await_promoted(manager: Runner, step: Promote) -> None:
    """Wait until the node takes part in Raft.

    Raises:
        SwarmError: if it does not within a minute.

    """

    def look() -> tuple[bool, str]:
        status = manager.run(commands.node_status(step.node_id)).stdout.split()
        return status == ["ready", "manager", "reachable"], " ".join(status)

    _await(f"{step.name}: waited for it to become a manager", look)


def await_demoted(manager: Runner, demoted: Runner | None, step: Demote) -> None:
    """Wait until the node has left Raft, as reported by the managers and, if reachable, by itself.

    A leader transfers its leadership first, so that for a moment no manager answers.

    Raises:
        SwarmError: if it has not within a minute.

    """

    def look() -> tuple[bool, str]:
        completed = manager.run(commands.node_status(step.node_id), check=False)
        if completed.exit_status != 0:
            return False, completed.stderr.strip()
        status = completed.stdout.split()
        if status[1:] != ["worker"]:
            return False, " ".join(status)
        if demoted is None:
            return True, ""
        own = demoted.run("docker info --format '{{.Swarm.ControlAvailable}}'", check=False)
        return own.stdout.strip() == "false", "the machine itself still acts as a manager"

    _await(f"{step.name}: waited for it to become a worker", look)


def _await(tried: str, look: Callable[[], tuple[bool, str]]) -> None:
    """Check until the result is true, for at most `ROLE_CHANGE_SECONDS`."""
    seen = ""

    def once() -> bool:
        nonlocal seen
        done, seen = look()
        return done

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_delay(ROLE_CHANGE_SECONDS),
        wait=tenacity.wait_exponential(multiplier=0.1, max=1),
        retry=tenacity.retry_if_result(lambda done: not done)
        | tenacity.retry_if_exception_type(RemoteError),
    )
    try:
        retrying(once)
    except tenacity.RetryError as exc:
        message = (
            f"{tried} {ROLE_CHANGE_SECONDS:g} s; last seen: {seen}\n"
            "Next: check `docker node ls` on a manager, then rerun the command"
        )
        raise SwarmError(message) from exc
