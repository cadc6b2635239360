"""The default stack, `local`: brought up by `make up`, taken away by `make down`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools.process import INTERRUPTED, run_in_terminal
from tools.stack_lock import own_backend, stale_locks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STACK = "local"

SELECT = ("pulumi", "stack", "select", "--create", STACK)
UP = ("pulumi", "up", "--yes", "--skip-preview", "--suppress-outputs", "--stack", STACK)
DESTROY = ("pulumi", "destroy", "--yes", "--skip-preview", "--stack", STACK)


def run(command: Sequence[str]) -> int:
    """Run Pulumi in this terminal, showing the line first; return its exit status."""
    print(f"$ {' '.join(command)}", flush=True)
    return run_in_terminal(command)


def up(run: Callable[[Sequence[str]], int] = run) -> int:
    """Select the stack, made on the first occasion, and bring it up."""
    status = run(SELECT) or run(UP)
    if status == INTERRUPTED:
        say("Interrupted. `make up` goes on from where it stopped, `make down` takes all away.")
    elif status != 0:
        say(
            "The cluster is not complete. What is said above tells why; after mending it, "
            "`make up` goes on from where it stopped, and `make down` takes everything away."
        )
    return status


def down(run: Callable[[Sequence[str]], int] = run) -> int:
    """Take away everything of the stack; its settings and its name stay."""
    status = run(SELECT) or run(DESTROY)
    if status == INTERRUPTED:
        say("Interrupted. `make down` goes on from where it stopped, `make up` brings all back.")
    elif status != 0:
        say("Something is left. What is said above tells why; `make down` can be repeated.")
    return status


def unlock(state: Path) -> None:
    """Take away the lock of an update that was killed, saying so.

    Only in the project's own backend: in a user's, others may be at work, and Pulumi itself says
    what to type.
    """
    backend = own_backend(state)
    for lock in stale_locks(backend, STACK) if backend else ():
        print(
            f"• takes away the stack's lock: its update was killed (pulumi, process {lock.pid})",
            flush=True,
        )
        lock.remove()


def say(message: str) -> None:
    """Print what to do next, apart from what Pulumi printed."""
    print(f"\n{message}", file=sys.stderr, flush=True)


ACTIONS: dict[str, Callable[[], int]] = {"up": up, "down": down}


def main(arguments: Sequence[str]) -> int:
    """Do what was asked for; return the exit status."""
    if len(arguments) != 1 or arguments[0] not in ACTIONS:
        print("usage: python -m tools.local_stack up|down", file=sys.stderr)
        return 1
    try:
        unlock(Path.cwd() / ".dairflow")
        return ACTIONS[arguments[0]]()
    except KeyboardInterrupt:
        say("Interrupted before Pulumi started. The same command can be repeated.")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
