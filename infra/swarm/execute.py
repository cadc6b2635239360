"""Runs the steps of a plan, in parallel if the plan allows it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import tenacity

from infra.remote.runner import RemoteError
from infra.swarm import commands, steps
from infra.swarm.drain import await_tasks
from infra.swarm.errors import SwarmError
from infra.swarm.facts import certificate_file
from infra.swarm.release import clean
from infra.swarm.roles import await_demoted, await_promoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from infra.remote.machine import Machine
    from infra.remote.runner import Runner, RunnerPool

_SWARM_COMMAND_SECONDS = 90.0
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
        self._report = report
        self._tokens = tokens
        self._known = dict.fromkeys(known, "an existing node")
        self._node_ids: dict[str, str] = {}
        self._lock = threading.Lock()

    def run(self, stages: Iterable[steps.Stage]) -> None:
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

    def _run_lane(self, lane: tuple[steps.Step, ...]) -> None:
        for step in lane:
            begun = time.monotonic()
            self._take(step)
            seconds = time.monotonic() - begun
            for line in step.done.splitlines():
                self._report(f"{line} ({seconds:.1f} s)")

    def _take(self, step: steps.Step) -> None:
        if isinstance(step, steps.MachineStep):
            self._take_on_machine(step)
        else:
            self._take_through_manager(step)

    def _take_on_machine(self, step: steps.MachineStep) -> None:  # noqa: C901, PLR0912 - a case a kind
        match step:
            case steps.LoadFirewall():
                self._on(step.machine).run(commands.LOAD_FIREWALL, stdin=step.ruleset.encode())
            case steps.TrustRegistry():
                path = commands.registry_certificate(step.registry)
                self._on(step.machine).write_file(path, certificate_file(step.certificate))
            case steps.DistrustRegistry():
                self._on(step.machine).run(commands.distrust_registry(step.registry))
            case steps.InstallNftables():
                self._install(step.machine, commands.INSTALL_NFTABLES, "nftables")
            case steps.InstallEngine():
                self._install(step.machine, commands.INSTALL_ENGINE, "Docker's engine")
            case steps.StartEngine():
                self._on(step.machine).run(commands.START_ENGINE, timeout=_SWARM_COMMAND_SECONDS)
            case steps.ForgetSwarm():
                self._swarm(step.machine, commands.FORGET_SWARM)
            case steps.Leave():
                self._swarm(step.machine, commands.LEAVE_SWARM)
            case steps.CleanMachine():
                clean(self._on(step.machine), step.release, self._report)
            case steps.RecoverSwarm():
                self._swarm(step.machine, commands.recover_swarm(step))
            case steps.InitSwarm():
                self._init(step)
            case steps.Join():
                self._join(step)
            case _:
                raise _unknown(step)

    def _take_through_manager(self, step: steps.Step) -> None:
        match step:
            case steps.UpdateNodes():
                self._update(step)
            case steps.SetCertificateValidity():
                self._swarm(step.via, commands.set_certificate_validity(step.seconds))
            case steps.Promote():
                self._updated(step.via, commands.promote(step.node_id))
                await_promoted(self._on(step.via), step)
            case steps.Demote():
                self._updated(step.via, commands.demote(step.node_id))
                await_demoted(self._on(step.via), self._on_if_any(step.machine), step)
            case steps.Drain():
                self._updated(step.via, commands.drain(step.node_id))
            case steps.AwaitTasks():
                await_tasks(self._on(step.via), step, self._report)
            case steps.RemoveNode():
                self._swarm(step.via, commands.remove_node(step.node_id))
            case _:
                raise _unknown(step)

    def _on(self, machine: Machine) -> Runner:
        return self._pool.runner(machine)

    def _on_if_any(self, machine: Machine | None) -> Runner | None:
        return self._pool.runner(machine) if machine else None

    def _swarm(self, machine: Machine, command: str) -> str:
        return self._on(machine).run(command, timeout=_SWARM_COMMAND_SECONDS).stdout

    def _install(self, machine: Machine, script: str, what: str) -> None:
        self._report(
            f"{machine.name}: installing {what} from the system's packages"
            f" (at most {commands.APT_SECONDS} s a command)"
        )
        self._on(machine).run(script, timeout=commands.INSTALL_SECONDS)

    def _init(self, step: steps.InitSwarm) -> None:
        answer = self._swarm(step.machine, commands.init_swarm(step))
        node_id, worker_token, manager_token = answer.split()
        self._learn(step.machine, node_id)
        with self._lock:
            self._tokens.update(worker=worker_token, manager=manager_token)

    def _learn(self, machine: Machine, node_id: str) -> None:
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

    def _join(self, step: steps.Join) -> None:
        command, stdin = commands.join_swarm(step, self._tokens[step.role])
        completed = self._on(step.machine).run(command, stdin=stdin, timeout=_SWARM_COMMAND_SECONDS)
        try:
            node_id = commands.joined_node_id(completed.stdout)
        except ValueError as exc:
            managers = ", ".join(f"{m}:{commands.SWARM_PORT}" for m in step.managers)
            raise RemoteError(
                machine=step.machine,
                tried=f"joined the swarm as {step.role} through {managers}",
                answer=str(exc),
                next_step=(
                    f"check that {managers} can be reached from there over TCP, then rerun the"
                    " command"
                ),
            ) from exc
        self._learn(step.machine, node_id)

    def _update(self, step: steps.UpdateNodes) -> None:
        with self._lock:
            node_ids = dict(self._node_ids)
        self._updated(step.via, commands.update_nodes(step.changes, node_ids))

    def _updated(self, via: Machine, command: str) -> None:
        """Run an update of nodes; retry if a node changed between its reading and writing."""
        for attempt in tenacity.Retrying(
            stop=tenacity.stop_after_attempt(_UPDATE_ATTEMPTS),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=1),
            retry=tenacity.retry_if_exception(_is_out_of_sequence),
            reraise=True,
        ):
            with attempt:
                self._swarm(via, command)


def side_by_side(calls: list[Callable[[], None]], *, at_once: int = steps.SIDE_BY_SIDE) -> None:
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


def _unknown(step: steps.Step) -> TypeError:
    return TypeError(f"unknown step {step!r}")


def _is_out_of_sequence(exc: BaseException) -> bool:
    """Return whether the error is swarmkit's optimistic locking, not a real failure."""
    return isinstance(exc, RemoteError) and "update out of sequence" in exc.answer
