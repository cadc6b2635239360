"""Runs the steps of a plan, in parallel if the plan allows it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import tenacity

from infra.remote.runner import RemoteError
from infra.swarm.side_by_side import side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from infra.remote.machine import Machine
    from infra.remote.runner import Runner, RunnerPool
    from infra.swarm.step import Stage, Step

SWARM_COMMAND_SECONDS = 90.0
_UPDATE_ATTEMPTS = 10


class Execution:
    """Run of a plan; passes node IDs and join tokens from a step to later ones."""

    def __init__(
        self,
        pool: RunnerPool,
        report: Callable[[str], None],
        *,
        tokens: dict[str, str],
        known: Iterable[str] = (),
    ) -> None:
        """``tokens`` maps a role to its join token; empty if there is no swarm yet.

        ``known`` are the IDs of the swarm's existing nodes.
        """
        self._pool = pool
        self.report = report
        self._tokens = tokens
        self._known = dict.fromkeys(known, "an existing node")
        self._node_ids: dict[str, str] = {}
        self._lock = threading.Lock()

    def run(self, stages: Iterable[Stage]) -> None:
        """Run every step; a stage begins when the previous one has ended.

        Raises:
            RemoteError: if a command failed.
            SwarmError: if a step timed out, or several machines failed.

        """
        for stage in stages:
            side_by_side(
                [lambda lane=lane: self._run_lane(lane) for lane in stage.lanes],
                at_once=stage.at_once,
            )

    def _run_lane(self, lane: tuple[Step, ...]) -> None:
        for step in lane:
            begun = time.monotonic()
            step.take(self)
            seconds = time.monotonic() - begun
            for line in step.done.splitlines():
                self.report(f"{line} ({seconds:.1f} s)")

    def on(self, machine: Machine) -> Runner:
        """Return a runner for the machine."""
        return self._pool.runner(machine)

    def swarm(self, machine: Machine, command: str, *, stdin: bytes | None = None) -> str:
        """Run a command of the swarm, and return its standard output."""
        runner = self.on(machine)
        return runner.run(command, stdin=stdin, timeout=SWARM_COMMAND_SECONDS).stdout

    def update(self, via: Machine, command: str) -> None:
        """Run an update of nodes; retry if a node changed between its reading and writing."""
        for attempt in tenacity.Retrying(
            stop=tenacity.stop_after_attempt(_UPDATE_ATTEMPTS),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=1),
            retry=tenacity.retry_if_exception(_is_out_of_sequence),
            reraise=True,
        ):
            with attempt:
                self.swarm(via, command)

    @property
    def node_ids(self) -> Mapping[str, str]:
        """The IDs of the nodes that this run has added, by machine's name."""
        with self._lock:
            return dict(self._node_ids)

    def token(self, role: str) -> str:
        """Return the join token of a role."""
        with self._lock:
            return self._tokens[role]

    def set_tokens(self, *, worker: str, manager: str) -> None:
        """Save the join tokens of a new swarm."""
        with self._lock:
            self._tokens.update(worker=worker, manager=manager)

    def set_node_id(self, machine: Machine, node_id: str) -> None:
        """Save the node ID that a machine reports; labels are set by it.

        Raises:
            RemoteError: if it is another node's, whose labels would be set instead.

        """
        with self._lock:
            other = self._known.setdefault(node_id, machine.name)
            if other == machine.name:
                self._node_ids[machine.name] = node_id
                return
        raise RemoteError(
            machine=machine,
            tried="joined the swarm and read the new node's ID",
            answer=f"{node_id}, which is that of {other}",
            next_step="find out why that machine reports this ID, or remove it from the settings",
        )


def _is_out_of_sequence(exc: BaseException) -> bool:
    """Return whether the error is swarmkit's optimistic locking, not a real failure."""
    return isinstance(exc, RemoteError) and "update out of sequence" in exc.answer
