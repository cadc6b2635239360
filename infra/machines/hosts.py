"""Hosts that exist: looked at before anything is touched, claimed, and left as they were found.

Knows nothing of Pulumi.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from infra.machines import host_check
from infra.machines.errors import HostError
from infra.machines.host_check import CLAIM_FILE
from infra.remote.runner import RemoteError
from infra.swarm.commands import FORGET_SWARM, START_ENGINE
from infra.swarm.release import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from infra.machines.host_check import HostFacts
    from infra.remote.machine import Machine
    from infra.remote.runner import RunnerPool
    from infra.swarm.release import Release

AT_ONCE = 64
CONNECT_SECONDS = 20.0
LEAVE_SECONDS = 90.0

# An engine that does not run keeps its swarm, and could not be emptied.
_LEAVE = f"""# start the engine, and leave the swarm
command -v docker > /dev/null || exit 0
docker info > /dev/null 2>&1 || ({START_ENGINE})
{FORGET_SWARM} > /dev/null 2>&1 || true
"""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What the hosts told of their surroundings.

    ``operator_addresses`` are those that the operator's SSH comes from, as the hosts see them;
    ``mtu`` (bytes) is the smallest of the hosts' private networks.
    """

    operator_addresses: tuple[str, ...]
    mtu: int


def inspect(
    machines: Sequence[Machine],
    pool: RunnerPool,
    *,
    stack: str,
    adopt: bool,
    manager_ports: Iterable[int],
) -> dict[str, HostFacts]:
    """Look at every host; nothing is changed on any.

    Raises:
        HostError: with every objection of every host, those that do not answer among them.

    """
    found, problems = _look(machines, pool)
    for machine in machines:
        if machine.name in found:
            problems += host_check.objections(
                machine,
                found[machine.name],
                stack=stack,
                adopt=adopt,
                manager_ports=manager_ports,
            )
    if not problems:
        problems += host_check.same_names(machines, found)
    if problems:
        raise HostError("\n".join(["No host was touched.", *problems]))
    return found


def claim(
    machines: Iterable[Machine],
    found: dict[str, HostFacts],
    pool: RunnerPool,
    report: Callable[[str], None],
    *,
    stack: str,
) -> None:
    """Note on every host which stack it belongs to; one to be adopted leaves its swarm before.

    Raises:
        HostError: a host could not be written to.

    """

    def take(machine: Machine) -> None:
        facts = found[machine.name]
        if facts.claim == stack:
            return
        runner = pool.runner(machine)
        if host_check.is_foreign(facts, stack):
            runner.run(FORGET_SWARM, timeout=LEAVE_SECONDS)
            report(f"{machine.name}: left the swarm that it was in, as `adopt` says")
        runner.write_file(CLAIM_FILE, f"{stack}\n".encode())
        report(f"{machine.name}: {facts.system}, Docker {facts.engine or 'to be installed'}")

    _raise(_side_by_side(machines, take))


def site(machines: Iterable[Machine], found: dict[str, HostFacts]) -> Site:
    """Say from where the operator comes, and how large a packet may be."""
    mtus = (found[m.name].mtus.get(m.private_address, 1500) for m in machines)
    return Site(
        operator_addresses=tuple(sorted({facts.ssh_client for facts in found.values()})),
        mtu=min(mtus, default=1500),
    )


def revisit(machines: Sequence[Machine], pool: RunnerPool) -> Site | None:
    """Look again at the hosts that answer; None where none does."""
    found, _ = _look(machines, pool)
    return site([m for m in machines if m.name in found], found) if found else None


def let_go(
    machines: Iterable[Machine],
    pool: RunnerPool,
    report: Callable[[str], None],
    *,
    stack: str,
    release: Release,
) -> None:
    """Leave every host that is still ours as it was found.

    Most have been left already, with their swarm; this finds what an interrupted run left behind.

    Raises:
        HostError: a host does not answer, or a command failed there. The others are done by then.

    """

    def leave(machine: Machine) -> None:
        runner = pool.runner(machine, timeout=CONNECT_SECONDS)
        if runner.run(f"cat {CLAIM_FILE}", check=False).stdout.strip() != stack:
            return
        runner.run(_LEAVE, timeout=LEAVE_SECONDS)
        clean(runner, release, report)
        report(f"{machine.name}: left as it was found")

    failures = _side_by_side(machines, leave)
    if failures:
        advice = (
            "What this stack put there stays until then. Next: start the host, then run the same"
            " again; if it is gone for good, `pulumi state delete` with this resource's URN"
            " forgets it."
        )
        raise HostError("\n".join([*failures, advice]))


def _look(machines: Iterable[Machine], pool: RunnerPool) -> tuple[dict[str, HostFacts], list[str]]:
    """Ask all hosts side by side; the texts are of those that could not be asked."""
    found: dict[str, HostFacts] = {}
    lock = threading.Lock()

    def ask(machine: Machine) -> None:
        runner = pool.runner(machine, timeout=CONNECT_SECONDS)
        completed = runner.run(host_check.SCRIPT, check=False)
        if completed.failed:
            raise _not_root(machine, completed.stderr)
        facts = host_check.parse(completed.stdout)
        with lock:
            found[machine.name] = facts

    return found, _side_by_side(machines, ask)


def _not_root(machine: Machine, said: str) -> RemoteError:
    return RemoteError(
        machine=machine,
        tried="became root, and looked whether it can be a node",
        answer=said,
        next_step=(
            f"let {machine.user} use sudo without a password (`echo {quote(machine.user)}"
            " 'ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/operator`), or set the host's password"
            " for sudo, or sign in as root"
        ),
    )


def _side_by_side(machines: Iterable[Machine], work: Callable[[Machine], None]) -> list[str]:
    """Work on all hosts at once; return the texts of what failed, in the machines' order."""
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="hosts") as threads:
        futures = [threads.submit(work, machine) for machine in machines]
    failures = [failure for future in futures if (failure := future.exception()) is not None]
    for failure in failures:
        if not isinstance(failure, RemoteError):
            raise failure
    return [str(failure) for failure in failures]


def _raise(problems: list[str]) -> None:
    if problems:
        raise HostError("\n".join(problems))
