"""Removes a stack, and waits until all of it is removed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from shlex import quote
from typing import TYPE_CHECKING

from infra.remote.runner import UNREACHABLE_SECONDS, RemoteError
from infra.remote.wait import attempts
from infra.stack import engine
from infra.stack.errors import StackError
from infra.swarm.cluster import MACHINE_LABEL
from infra.swarm.commands import forget_machine
from infra.swarm.step import SIDE_BY_SIDE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from infra.remote.machine import Machine
    from infra.remote.runner import Runner, RunnerPool
    from infra.stack.tasks import Snapshot

CONNECT_SECONDS = UNREACHABLE_SECONDS
"""How long a machine may be unreachable when the stack is removed."""
POLL_SECONDS = 1.0
_RM_TIMEOUT_SECONDS = 120.0


def remove_from(
    machines: Sequence[Machine],
    pool: RunnerPool,
    name: str,
    *,
    report: Callable[[str], None],
) -> None:
    """Remove the stack ``name`` with its volumes from the reachable machines.

    It uses the first reachable manager whose swarm has a quorum. If there is none, the services
    remain on the managers, and each machine's part is removed when that machine leaves the swarm.
    The stack's data on an unreachable machine stay there.

    Raises:
        StackError: if no machine answers; or see `remove`.
        RemoteError: see `remove`.

    """
    runners, unreachable = _ask(machines, pool)
    if not runners:
        raise StackError(
            "\n".join([*map(str, unreachable), "No machine answers. Nothing was removed."])
        )
    for error in unreachable:
        report(f"{error.machine.name}: the stack's data there stay for now: {error.answer}")
    manager = next((runner for runner in runners if _can_act(runner)), None)
    if manager is None:
        report("no manager can act: the services are removed when each machine leaves the swarm")
        return
    for error in unreachable:
        manager.run(forget_machine(error.machine.name, MACHINE_LABEL))
    remove(manager, name, report=report, nodes=runners, volumes=True)


def _ask(machines: Sequence[Machine], pool: RunnerPool) -> tuple[list[Runner], list[RemoteError]]:
    """Connect to the machines in parallel."""

    def connect(machine: Machine) -> Runner | RemoteError:
        try:
            return pool.runner(machine, timeout=CONNECT_SECONDS)
        except RemoteError as error:
            return error

    with ThreadPoolExecutor(max_workers=SIDE_BY_SIDE) as threads:
        found = list(threads.map(connect, machines))
    errors = [one for one in found if isinstance(one, RemoteError)]
    return [one for one in found if not isinstance(one, RemoteError)], errors


def _can_act(runner: Runner) -> bool:
    if runner.machine.role != "manager":
        return False
    return not runner.run("docker node ls -q > /dev/null 2>&1", check=False).failed


def remove(
    runner: Runner,
    name: str,
    *,
    report: Callable[[str], None],
    nodes: Sequence[Runner] = (),
    volumes: bool = False,
    grace: float = 30,
    timeout: float = 180,
) -> None:
    """Remove the stack ``name``: services, tasks, containers, networks, secrets and configs.

    ``nodes`` are the runners of the cluster's nodes, ``runner`` is a manager's. Running Airflow
    tasks get ``grace`` seconds; after that the remaining containers are killed on ``nodes``. With
    ``volumes``, the stack's volumes on ``nodes`` are removed too: a swarm does not manage volumes.
    Succeeds if the stack does not exist.

    Raises:
        StackError: if a part of the stack remains after ``timeout`` seconds.
        RemoteError: if a machine cannot be reached.

    """
    slots = {task.id: task.slot for task in engine.snapshot(runner, name).tasks}
    runner.run(
        f"docker stack rm {quote(name)} >/dev/null 2>&1 || true", timeout=_RM_TIMEOUT_SECONDS
    )
    started = time.monotonic()
    killed = False
    reported = ""
    while left := _left(runner, nodes, name, slots):
        if left != reported:
            report(f"being removed: {left}")
            reported = left
        waited = time.monotonic() - started
        if waited > grace and not killed:
            report("the remaining containers are stopped without waiting for their tasks")
            _kill(nodes, name)
            killed = True
        if waited > timeout:
            msg = (
                f"{runner.machine}: {waited:.0f} s after its removal, the stack {name} still has:"
                f" {left}. A node may be down: check `docker node ls` there, then rerun the"
                " command."
            )
            raise StackError(msg)
        time.sleep(POLL_SECONDS)
    for kind in engine.KINDS:
        engine.remove_values(runner, kind, engine.value_names(runner, kind, name))
    if volumes:
        _remove_volumes(nodes, name, deadline=started + timeout)


def _left(runner: Runner, nodes: Sequence[Runner], name: str, slots: Mapping[str, str]) -> str:
    """Return what remains: services and tasks, then networks and containers on each machine.

    ``slots`` are the tasks' former names: the swarm removes them with the services.
    """
    seen = engine.snapshot(runner, name)
    if seen.services or seen.tasks:
        return _tasks_left(seen, slots)
    machines = {r.machine.name: r for r in (runner, *nodes)}
    return ", ".join(
        f"{left} on {machine}"
        for machine, known in machines.items()
        for left in engine.orphans(known, name)
    )


def _tasks_left(seen: Snapshot, slots: Mapping[str, str]) -> str:
    tasks = [f"{slots.get(task.id, task.slot)} on {task.node or 'no node'}" for task in seen.tasks]
    services = [f"service {service.name}" for service in seen.services]
    return ", ".join(dict.fromkeys([*services, *tasks]))


def _kill(nodes: Sequence[Runner], name: str) -> None:
    for node in nodes:
        node.run(
            f"containers=$(docker ps -q --filter label={engine.NAMESPACE}={quote(name)});"
            ' [ -z "$containers" ] || docker kill $containers >/dev/null 2>&1 || true'
        )


def _remove_volumes(nodes: Sequence[Runner], name: str, *, deadline: float) -> None:
    """Remove the stack's volumes; a container that is being removed still uses its own."""
    refusal = ""
    for node in nodes:
        for _ in attempts(deadline - time.monotonic(), first=POLL_SECONDS):
            answer = node.run(
                f"volumes=$(docker volume ls -q --filter label={engine.NAMESPACE}={quote(name)});"
                ' [ -z "$volumes" ] || docker volume rm $volumes',
                check=False,
            )
            if answer.exit_status == 0:
                break
            refusal = answer.stderr.strip()
        else:
            msg = f"{node.machine}: a volume of the stack {name} cannot be removed: {refusal}"
            raise StackError(msg)
