"""Take a stack away, and wait until nothing of it is left."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from shlex import quote
from typing import TYPE_CHECKING

from infra.remote.runner import RemoteError
from infra.stack import engine
from infra.stack.errors import StackError
from infra.swarm.cluster import MACHINE_LABEL
from infra.swarm.commands import forget_machine
from infra.swarm.steps import SIDE_BY_SIDE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from infra.remote.machine import Machine
    from infra.remote.runner import Runner, RunnerPool
    from infra.stack.tasks import Snapshot

CONNECT_SECONDS = 20.0
"""How long a machine may be silent when the stack is removed."""
POLL_SECONDS = 1.0
_RM_TIMEOUT_SECONDS = 120.0


def remove_from(
    machines: Sequence[Machine],
    pool: RunnerPool,
    name: str,
    *,
    report: Callable[[str], None],
) -> None:
    """Remove the stack ``name`` with its volumes from the machines that answer.

    It goes by the first manager that answers and whose swarm has a quorum. Where there is none, the
    services stay with the managers, and each machine's part goes when that machine leaves the
    swarm. What the stack has on a machine that does not answer stays there.

    Raises:
        StackError: no machine answers; or see `remove`.
        RemoteError: see `remove`.

    """
    runners, silent = _ask(machines, pool)
    if not runners:
        raise StackError(
            "\n".join([*map(str, silent), "No machine answers. Nothing was taken away anywhere."])
        )
    for error in silent:
        report(f"{error.machine.name}: what the stack has there stays for now: {error.answer}")
    manager = next((runner for runner in runners if _can_act(runner)), None)
    if manager is None:
        report("no manager can act: the services go with the machines, as each leaves the swarm")
        return
    for error in silent:
        manager.run(forget_machine(error.machine.name, MACHINE_LABEL))
    remove(manager, name, report=report, nodes=runners, volumes=True)


def _ask(machines: Sequence[Machine], pool: RunnerPool) -> tuple[list[Runner], list[RemoteError]]:
    """Connect to the machines side by side."""

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

    ``nodes`` are the runners of the cluster's nodes, ``runner`` is a manager's. Airflow tasks that
    run are given ``grace`` seconds; the containers that are left then are killed on ``nodes``.
    With ``volumes``, the stack's volumes on ``nodes`` go too: a swarm does not know volumes.
    A stack that is not there is no error.

    Raises:
        StackError: when something of the stack is still there after ``timeout`` seconds.
        RemoteError: when a machine cannot be reached.

    """
    slots = {task.id: task.slot for task in engine.snapshot(runner, name).tasks}
    runner.run(
        f"docker stack rm {quote(name)} >/dev/null 2>&1 || true", timeout=_RM_TIMEOUT_SECONDS
    )
    started = time.monotonic()
    killed = False
    said = ""
    while left := _left(runner, nodes, name, slots):
        if left != said:
            report(f"being removed: {left}")
            said = left
        waited = time.monotonic() - started
        if waited > grace and not killed:
            report("the rest is stopped without waiting for its tasks")
            _kill(nodes, name)
            killed = True
        if waited > timeout:
            msg = (
                f"{runner.machine}: {waited:.0f} s after its removal, the stack {name} still has:"
                f" {left}. Is a node down? See `docker node ls` there; then run this again."
            )
            raise StackError(msg)
        time.sleep(POLL_SECONDS)
    for kind in engine.KINDS:
        engine.remove_values(runner, kind, engine.value_names(runner, kind, name))
    if volumes:
        _remove_volumes(nodes, name, deadline=started + timeout)


def _left(runner: Runner, nodes: Sequence[Runner], name: str, slots: Mapping[str, str]) -> str:
    """Say what is left: services and tasks, then what each machine that is known still has.

    ``slots`` are the tasks' names from before: the swarm has forgotten them with the services.
    """
    seen = engine.snapshot(runner, name)
    if seen.services or seen.tasks:
        return _tasks_left(seen, slots)
    machines = {r.machine.name: r for r in (runner, *nodes)}
    return ", ".join(
        f"{left} on {machine}"
        for machine, known in machines.items()
        for left in engine.leftovers(known, name)
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
    """Remove the stack's volumes; a container that is just being removed still holds its own."""
    for node in nodes:
        while True:
            answer = node.run(
                f"volumes=$(docker volume ls -q --filter label={engine.NAMESPACE}={quote(name)});"
                ' [ -z "$volumes" ] || docker volume rm $volumes',
                check=False,
            )
            if answer.exit_status == 0:
                break
            if time.monotonic() > deadline:
                msg = f"{node.machine}: a volume of the stack {name} stays: {answer.stderr.strip()}"
                raise StackError(msg)
            time.sleep(POLL_SECONDS)
