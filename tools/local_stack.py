"""The default stack, `local`: brought up by `make up`, taken away by `make down`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from infra.project import this_clone
from tools.process import INTERRUPTED, probe, run_in_terminal
from tools.stack_lock import own_backend, stale_locks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STACK = "local"

SELECT = ("pulumi", "stack", "select", "--create", STACK)
UP_STACK = ("pulumi", "up", "--yes", "--skip-preview", "--suppress-outputs", "--stack")
"""The stack's name follows."""
UP = (*UP_STACK, STACK)
MADE_BY = ("pulumi", "stack", "output", "clone", "--stack", STACK)
MADE_BY_TIMEOUT_SECONDS = 60
DESTROY = ("pulumi", "destroy", "--yes", "--skip-preview", "--stack", STACK)


def run(command: Sequence[str]) -> int:
    """Run Pulumi in this terminal, showing the line first; return its exit status."""
    print(f"$ {' '.join(command)}", flush=True)
    return run_in_terminal(command)


def up(run: Callable[[Sequence[str]], int] = run) -> int:
    """Select the stack, made on the first occasion, and bring it up."""
    status = run(SELECT) or run(UP)
    if status == INTERRUPTED:
        say("Interrupted. `make up` continues where it stopped; `make down` removes everything.")
    elif status != 0:
        say(
            "The cluster is not complete. The messages above show why. Fix the cause and run "
            "`make up` again: it continues from where it stopped. `make down` removes everything."
        )
    return status


def down(run: Callable[[Sequence[str]], int] = run) -> int:
    """Take away everything of the stack; its settings and its name stay."""
    status = run(SELECT) or run(DESTROY)
    if status == INTERRUPTED:
        say("Interrupted. `make down` continues where it stopped; `make up` restores all.")
    elif status != 0:
        say("Something is left. The messages above show why. You can run `make down` again.")
    return status


def made_elsewhere(state: Path) -> bool:
    """Say so and return True when another clone made the stack.

    The project's own backend is this clone's alone; in a backend of the user's own, every clone's
    stack has the same name.
    """
    if own_backend(state):
        return False
    maker = probe(MADE_BY, timeout=MADE_BY_TIMEOUT_SECONDS).stdout.strip()
    if maker in ("", this_clone()):
        return False
    say(
        f"The stack {STACK} in your Pulumi backend belongs to another clone: {maker} (machine and "
        f"folder). This one is {this_clone()}. Nothing was changed. For a cluster of its own, run "
        "`pulumi stack init another-name && pulumi up`; to continue with that stack from here, "
        f"`pulumi up --stack {STACK}`."
    )
    return True


def unlock(state: Path) -> None:
    """Take away the lock of an update that was killed, saying so.

    Only in the project's own backend: in a user's, others may work on it, and Pulumi itself prints
    what to type.
    """
    backend = own_backend(state)
    for lock in stale_locks(backend, STACK) if backend else ():
        print(
            f"• removes the stack's lock: its update was killed (pulumi, process {lock.pid})",
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
    state = Path.cwd() / ".dairflow"
    try:
        if made_elsewhere(state):
            return 1
        unlock(state)
        return ACTIONS[arguments[0]]()
    except KeyboardInterrupt:
        say("Interrupted before Pulumi started. Run the same command again.")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
