"""Checks existing hosts before any change, claims them, and releases them in their original state.

Independent of Pulumi.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from shlex import quote
from typing import TYPE_CHECKING

from infra.machines.errors import HostError
from infra.machines.existing import host_check, orphans
from infra.machines.existing.host_check import CLAIM_FILE, OWNER_FILE
from infra.machines.existing.orphans import LEAVE_FILE
from infra.project import STACK_NAME
from infra.remote.runner import UNREACHABLE_SECONDS, RemoteError
from infra.remote.script import script
from infra.swarm.commands import APT_LOCK, FORGET_SWARM, START_ENGINE
from infra.swarm.release import RELEASE_SECONDS, recovery_hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from infra.machines.existing.host_check import HostFacts
    from infra.machines.existing.orphans import Orphans
    from infra.remote.machine import Machine
    from infra.remote.runner import Runner, RunnerPool
    from infra.stack.memory import Needs
    from infra.swarm.release import Release

AT_ONCE = 64
CONNECT_SECONDS = UNREACHABLE_SECONDS
LEAVE_SECONDS = 90.0

_LEAVE = script("machines/existing/scripts/leave_host.sh", **APT_LOCK, START_ENGINE=START_ENGINE)


@dataclass(frozen=True, kw_only=True)
class Site:
    """What the hosts report about their network.

    ``operator_addresses`` are the source addresses of the operator's SSH, as the hosts see them;
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
    needed: Needs | None = None,
) -> dict[str, HostFacts]:
    """Check every host without changing any. ``needed`` is the memory that the services reserve.

    Raises:
        HostError: lists every problem of every host, unreachable hosts included.

    """
    found, problems = _look(machines, pool)
    for machine in machines:
        if machine.name in found:
            problems += host_check.problems(
                machine,
                found[machine.name],
                others=machines,
                stack=stack,
                adopt=adopt,
                manager_ports=manager_ports,
            )
    if not problems:
        problems += host_check.same_names(machines, found)
    if not problems and needed is not None:
        problems += host_check.memory_problems(machines, found, needed)
    if problems:
        unreachable = [machine.name for machine in machines if machine.name not in found]
        first = next((m.name for m in machines if m.role == "manager"), "")
        hint = [recovery_hint(unreachable, first)] if unreachable else []
        raise HostError("\n".join(["No host was changed.", *problems, *hint]))
    return found


def reject_orphans(
    machines: Iterable[Machine], found: Mapping[str, HostFacts], pool: RunnerPool, *, stack: str
) -> None:
    """Reject hosts with volumes that the stack would adopt; nothing is changed on any.

    A host that another stack of this project has claimed loses them when it is adopted.

    Raises:
        HostError: lists every such host.

    """

    def ask(machine: Machine) -> None:
        left = orphans.parse(pool.runner(machine).run(orphans.SCRIPT).stdout)
        if not (left.can_leave and found[machine.name].claim):
            _reject(machine, left)

    others = [machine for machine in machines if found[machine.name].claim != stack]
    if problems := _in_parallel(others, ask):
        raise HostError("\n".join(["No host was changed.", *problems]))


def _reject(machine: Machine, left: Orphans) -> None:
    if left.volumes:
        raise RemoteError(
            machine=machine,
            tried=f"looked for volumes of another stack called {STACK_NAME}",
            answer=f"it has {', '.join(left.volumes)}, and this stack would start on that data",
            next_step=left.next_step,
        )


def claim(
    machines: Iterable[Machine],
    found: dict[str, HostFacts],
    pool: RunnerPool,
    report: Callable[[str], None],
    *,
    stack: str,
    release: Release,
    owner: str = "",
) -> None:
    """Write to every host which stack it belongs to, and a script that releases it.

    ``owner`` is the identity of the resource that has the hosts.

    A host to be adopted first leaves its swarm, and the stack that it belongs to, like a host that
    its own stack releases.

    Raises:
        HostError: if writing to a host fails.

    """

    def note_owner(runner: Runner) -> None:
        if owner:
            runner.write_file(OWNER_FILE, f"{owner}\n".encode())

    def take(machine: Machine) -> None:
        facts = found[machine.name]
        runner = pool.runner(machine)
        if facts.claim == stack:
            note_owner(runner)
            runner.write_file(LEAVE_FILE, leave_script(release).encode())
            return
        if facts.claim:
            left = orphans.parse(runner.run(orphans.SCRIPT).stdout)
            if left.can_leave:
                runner.run(f"sh {LEAVE_FILE}", timeout=RELEASE_SECONDS)
                _reject(machine, orphans.parse(runner.run(orphans.SCRIPT).stdout))
                report(
                    f"{machine.name}: left stack {facts.claim} and removed its data, because"
                    " `adopt` is set"
                )
                facts = replace(facts, swarm="")
        if host_check.is_foreign(facts, stack):
            runner.run(FORGET_SWARM, timeout=LEAVE_SECONDS)
            report(f"{machine.name}: left the swarm that it was in, because `adopt` is set")
        runner.write_file(CLAIM_FILE, f"{stack}\n".encode())
        note_owner(runner)
        runner.write_file(LEAVE_FILE, leave_script(release).encode())
        report(f"{machine.name}: {facts.system}, Docker {facts.engine or 'to be installed'}")

    _raise(_in_parallel(machines, take))


def site(machines: Iterable[Machine], found: dict[str, HostFacts]) -> Site:
    """Return the operator's source addresses and the smallest MTU."""
    mtus = (found[m.name].mtus.get(m.private_address, 1500) for m in machines)
    return Site(
        operator_addresses=tuple(sorted({facts.ssh_client for facts in found.values()})),
        mtu=min(mtus, default=1500),
    )


def revisit(machines: Sequence[Machine], pool: RunnerPool) -> Site | None:
    """Check the reachable hosts again; None if no host is reachable."""
    found, _ = _look(machines, pool)
    return site([m for m in machines if m.name in found], found) if found else None


def release_hosts(
    machines: Iterable[Machine],
    pool: RunnerPool,
    report: Callable[[str], None],
    *,
    stack: str,
    release: Release,
    owner: str = "",
    forget: str = "",
) -> None:
    """Restore every host that is still ours; skip those that another resource has adopted.

    Most are restored already, when they left their swarm; this cleans up after an interrupted run,
    and on hosts that were unreachable before. ``forget`` is a command that removes the hosts from
    the stack's state.

    Raises:
        HostError: if a host is unreachable or a command fails there; lists what stays on which
            host, and the next step. The other hosts are restored by then.

    """
    done: set[str] = set()

    def leave(machine: Machine) -> None:
        runner = pool.runner(machine, timeout=CONNECT_SECONDS)
        noted = runner.run(f"cat {CLAIM_FILE} {OWNER_FILE}", check=False).stdout.split()
        if noted[:1] == [stack] and noted[1:] not in ([], [owner]):
            report(f"{machine.name}: stays in use, because another resource has adopted it")
        elif noted[:1] == [stack]:
            output = runner.run(leave_script(release), timeout=RELEASE_SECONDS).stdout.strip()
            if output:
                report(f"{machine.name}: {output}")
            report(f"{machine.name}: restored to its original state")
        done.add(machine.name)

    machines = list(machines)
    failures = _in_parallel(machines, leave)
    if failures:
        names = [machine.name for machine in machines if machine.name not in done]
        raise HostError("\n".join([*failures, _not_cleaned(names, forget)]))


def leave_script(release: Release) -> str:
    """Return the script that restores a host, run as root; it is idempotent."""
    return f"{_LEAVE}{release.script}\n"


def _not_cleaned(names: Sequence[str], forget: str) -> str:
    return (
        f"Not cleaned: {', '.join(names)}. Resources of this stack remain there: the swarm"
        " membership, containers, volumes and images, the firewall, /etc/dairflow. The other hosts"
        " are restored to their original state.\n"
        "Next: start the host and run `pulumi destroy` again, which cleans it.\n"
        f"If the host runs but cannot be reached from here, run `sh {LEAVE_FILE}` on its console as"
        " root.\n"
        "After that, or if the host is lost, remove it from the state with"
        f" `{forget or 'pulumi state delete'}`; then run `pulumi destroy` again."
    )


def _look(machines: Iterable[Machine], pool: RunnerPool) -> tuple[dict[str, HostFacts], list[str]]:
    """Read the facts of all hosts in parallel; the texts are the errors of unreachable hosts."""
    found: dict[str, HostFacts] = {}
    lock = threading.Lock()

    def ask(machine: Machine) -> None:
        runner = pool.runner(machine, timeout=CONNECT_SECONDS)
        asked = time.time()
        completed = runner.run(host_check.SCRIPT, check=False)
        window = (asked, time.time())
        if completed.failed:
            raise _not_root(machine, completed.stderr)
        facts = host_check.parse(completed.stdout, window=window)
        with lock:
            found[machine.name] = facts

    return found, _in_parallel(machines, ask)


def _not_root(machine: Machine, output: str) -> RemoteError:
    return RemoteError(
        machine=machine,
        tried="became root and checked whether it can be a node",
        answer=output,
        next_step=(
            f"let {machine.user} use sudo without a password (`echo {quote(machine.user)}"
            " 'ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/operator`), or set the host's password"
            " for sudo, or log in as root"
        ),
    )


def _in_parallel(machines: Iterable[Machine], work: Callable[[Machine], None]) -> list[str]:
    """Run ``work`` on all hosts in parallel; return the errors' texts in the machines' order."""
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
