"""Give the nodes of a local stack the newest engine, one node after the other: `make update-nodes`.

A node's container is made again from set-up's image, on its own disk: the node keeps its place in
the swarm, its services and its data. A worker is drained first, so that its tasks end. A run that
was interrupted continues with the next one.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.images import project_images
from infra.machines.node_container import container_name
from infra.swarm.drain import list_tasks, parse_tasks
from tools.local_stack import UP_STACK
from tools.process import INTERRUPTED, probe, run_in_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ANSWER_SECONDS = 60.0
PAUSE_SECONDS = 2.0
REPORT_SECONDS = 15.0


class UpdateError(Exception):
    """A node cannot be updated now; the text has the cause."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node, and its container on this machine."""

    name: str
    role: str
    container: str


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The programs that are run: `ask` returns what a command prints, `run` shows it."""

    ask: Callable[[Sequence[str]], str]
    run: Callable[[Sequence[str]], int]
    say: Callable[[str], None]


def ask(command: Sequence[str]) -> str:
    """Return what a command prints.

    Raises:
        UpdateError: if it fails.

    """
    done = probe(command, timeout=ANSWER_SECONDS)
    if done.returncode:
        msg = f"`{shlex.join(command)}` failed: {done.stderr.strip()}"
        raise UpdateError(msg)
    return done.stdout.strip()


def nodes_of(stack: str, outputs: dict[str, Any]) -> list[Node]:
    """Return the stack's nodes: workers, then managers, the first one last.

    Raises:
        UpdateError: if their containers are not of this machine.

    """
    if "clone" not in outputs:
        msg = (
            f"the stack {stack} is not one of target local, or is not complete. docs/day-two.md,"
            ' "Update the nodes\' engines", has the commands for other machines.'
        )
        raise UpdateError(msg)
    nodes = [
        Node(name=node["name"], role=node["role"], container=container_name(stack, node["name"]))
        for node in outputs["nodes"]
    ]
    managers = [node for node in nodes if node.role == "manager"]
    return [*(node for node in nodes if node not in managers), *reversed(managers)]


def update(stack: str, outputs: dict[str, Any], image: str, tools: Tools) -> int:
    """Update each node whose container is of another image; return the exit status.

    Raises:
        UpdateError: if a node cannot be updated now.

    """
    old = [node for node in nodes_of(stack, outputs) if _image(node, tools) != image]
    if not old:
        tools.say(f"Every node has the engine of {image}.")
        # An interrupted run may have left the last one drained.
        return tools.run(_up(stack))
    manager = shlex.split(outputs["managerSsh"])
    for number, node in enumerate(old, start=1):
        tools.say(f"{node.name} ({number} of {len(old)}): makes it again from {image}")
        if _image(node, tools):
            if node.role == "worker":
                _drain(node, manager, tools)
            tools.ask(("docker", "rm", "--force", node.container))
        if status := tools.run(_up(stack)):
            return status
    return 0


def _up(stack: str) -> tuple[str, ...]:
    return (*UP_STACK, stack, "--refresh")


def _image(node: Node, tools: Tools) -> str:
    """Return the image of a node's container; empty if an interrupted run removed it."""
    only = f"name=^{node.container}$"
    return tools.ask(("docker", "ps", "--all", "--filter", only, "--format", "{{.Image}}"))


def _drain(node: Node, manager: Sequence[str], tools: Tools) -> None:
    """Drain a worker and wait until its tasks have ended, each within ``taskGrace``."""
    tools.ask((*manager, f"docker node update --availability drain {node.name}"))
    listed = (*manager, list_tasks(node.name))
    reported = 0.0
    while True:
        state, running = parse_tasks(tools.ask(listed))
        if not running or state == "down":  # the tasks of a node that is down never end
            return
        if time.monotonic() - reported > REPORT_SECONDS:
            tools.say(f"{node.name}: waits for {', '.join(running)} to end")
            reported = time.monotonic()
        time.sleep(PAUSE_SECONDS)


def main() -> int:
    """Update the nodes of the selected stack; return the exit status."""
    tools = Tools(ask=ask, run=run_in_terminal, say=lambda text: print(f"• {text}", flush=True))
    try:
        stack = ask(("pulumi", "stack", "--show-name"))
        outputs = json.loads(ask(("pulumi", "stack", "output", "--json")))
        status = update(stack, outputs, project_images.reference("node"), tools)
    except UpdateError as error:
        print(f"\nThe nodes are not updated: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        status = INTERRUPTED
    if status:
        print(
            "\nNot every node is updated. Fix the cause and run `make update-nodes` again: it"
            " continues with the nodes that are older.",
            file=sys.stderr,
        )
    return status


if __name__ == "__main__":
    sys.exit(main())
