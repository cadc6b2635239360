"""The default stack, `local`: brought up by `make up`, taken away by `make down`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STACK = "local"

SELECT = ("pulumi", "stack", "select", "--create", STACK)
UP = ("pulumi", "up", "--yes", "--skip-preview", "--suppress-outputs", "--stack", STACK)
DESTROY = ("pulumi", "destroy", "--yes", "--skip-preview", "--stack", STACK)


def run(command: Sequence[str]) -> int:
    """Run Pulumi in this terminal, showing the line first; return its exit status."""
    print(f"$ {' '.join(command)}", flush=True)
    return subprocess.run(command, check=False).returncode


def up(run: Callable[[Sequence[str]], int] = run) -> int:
    """Select the stack, made on the first occasion, and bring it up."""
    status = run(SELECT) or run(UP)
    if status != 0:
        print(
            "\nThe cluster is not complete. What is said above tells why; after mending it, "
            "`make up` goes on from where it stopped, and `make down` takes everything away.",
            file=sys.stderr,
        )
    return status


def down(run: Callable[[Sequence[str]], int] = run) -> int:
    """Take away everything of the stack; its settings and its name stay."""
    status = run(SELECT) or run(DESTROY)
    if status != 0:
        print(
            "\nSomething is left. What is said above tells why; `make down` can be repeated.",
            file=sys.stderr,
        )
    return status


ACTIONS: dict[str, Callable[[], int]] = {"up": up, "down": down}

if __name__ == "__main__":
    if sys.argv[1:2] == [] or sys.argv[1] not in ACTIONS:
        sys.exit("usage: python -m tools.local_stack up|down")
    sys.exit(ACTIONS[sys.argv[1]]())
