"""Hosts that exist: looked at before anything is touched, claimed, and left as they were found.

Knows nothing of Pulumi.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from shlex import quote
from typing import TYPE_CHECKING

from infra.machines.errors import HostError
from infra.machines.existing import host_check, leftovers
from infra.machines.existing.host_check import CLAIM_FILE, OWNER_FILE
from infra.machines.existing.leftovers import LEAVE_FILE
from infra.project import STACK_NAME
from infra.remote.runner import RemoteError
from infra.swarm.commands import AWAIT_INSTALLATION, FORGET_SWARM, START_ENGINE
from infra.swarm.release import RELEASE_SECONDS, way_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from infra.machines.existing.host_check import HostFacts
    from infra.machines.existing.leftovers import Leftovers
    from infra.remote.machine import Machine
    from infra.remote.runner import Runner, RunnerPool
    from infra.stack.memory import Needs
    from infra.swarm.release import Release

AT_ONCE = 64
CONNECT_SECONDS = 20.0
LEAVE_SECONDS = 90.0

# An engine that does not run keeps its swarm, and could not be emptied; one that is just being
# installed, by a run that was killed, would come up afterwards.
_LEAVE = f"""# leave the swarm, and the host as it was found
{AWAIT_INSTALLATION}
if command -v docker > /dev/null; then
    docker info > /dev/null 2>&1 || ({START_ENGINE})
    {FORGET_SWARM} > /dev/null 2>&1 || true
fi
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
    needed: Needs | None = None,
) -> dict[str, HostFacts]:
    """Look at every host; nothing is changed on any. ``needed`` is what the services reserve.

    Raises:
        HostError: with every objection of every host, those that do not answer among them.

    """
    found, problems = _look(machines, pool)
    for machine in machines:
        if machine.name in found:
            problems += host_check.objections(
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
        problems += host_check.memory_objections(machines, found, needed)
    if problems:
        silent = [machine.name for machine in machines if machine.name not in found]
        first = next((m.name for m in machines if m.role == "manager"), "")
        hint = [way_on(silent, first)] if silent else []
        raise HostError("\n".join(["No host was touched.", *problems, *hint]))
    return found


def refuse_leftovers(
    machines: Iterable[Machine], found: Mapping[str, HostFacts], pool: RunnerPool, *, stack: str
) -> None:
    """Refuse hosts with volumes that the stack would take for its own; nothing is changed on any.

    A host that another stack of this project claimed loses them as it is adopted.

    Raises:
        HostError: with every such host.

    """

    def ask(machine: Machine) -> None:
        left = leftovers.parse(pool.runner(machine).run(leftovers.SCRIPT).stdout)
        if not (left.can_leave and found[machine.name].claim):
            _refuse(machine, left)

    others = [machine for machine in machines if found[machine.name].claim != stack]
    if problems := _side_by_side(others, ask):
        raise HostError("\n".join(["No host was touched.", *problems]))


def _refuse(machine: Machine, left: Leftovers) -> None:
    if left.volumes:
        raise RemoteError(
            machine=machine,
            tried=f"looked for volumes of another stack called {STACK_NAME}",
            answer=f"it has {', '.join(left.volumes)}, on whose data this one would begin",
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
    """Note on every host which stack it belongs to, and by which script it lets itself go.

    ``owner`` is the identity of the resource that has the hosts.

    One to be adopted leaves its swarm before, and the stack that it belongs to, as that would.

    Raises:
        HostError: a host could not be written to.

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
            left = leftovers.parse(runner.run(leftovers.SCRIPT).stdout)
            if left.can_leave:
                runner.run(f"sh {LEAVE_FILE}", timeout=RELEASE_SECONDS)
                _refuse(machine, leftovers.parse(runner.run(leftovers.SCRIPT).stdout))
                report(f"{machine.name}: left stack {facts.claim} with its data, as `adopt` says")
                facts = replace(facts, swarm="")
        if host_check.is_foreign(facts, stack):
            runner.run(FORGET_SWARM, timeout=LEAVE_SECONDS)
            report(f"{machine.name}: left the swarm that it was in, as `adopt` says")
        runner.write_file(CLAIM_FILE, f"{stack}\n".encode())
        note_owner(runner)
        runner.write_file(LEAVE_FILE, leave_script(release).encode())
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
    owner: str = "",
    forget: str = "",
) -> None:
    """Leave every host that is still ours as it was found; not one that another resource has.

    Most have been left already, with their swarm; this finds what an interrupted run left behind,
    and hosts that did not answer before. ``forget`` is a command that takes the hosts out of the
    stack's state.

    Raises:
        HostError: a host does not answer, or a command failed there; says what stays on which
            host, and how to go on. The others are done by then.

    """
    done: set[str] = set()

    def leave(machine: Machine) -> None:
        runner = pool.runner(machine, timeout=CONNECT_SECONDS)
        noted = runner.run(f"cat {CLAIM_FILE} {OWNER_FILE}", check=False).stdout.split()
        if noted[:1] == [stack] and noted[1:] not in ([], [owner]):
            report(f"{machine.name}: stays in use, since another resource has adopted it")
        elif noted[:1] == [stack]:
            said = runner.run(leave_script(release), timeout=RELEASE_SECONDS).stdout.strip()
            if said:
                report(f"{machine.name}: {said}")
            report(f"{machine.name}: left as it was found")
        done.add(machine.name)

    machines = list(machines)
    failures = _side_by_side(machines, leave)
    if failures:
        names = [machine.name for machine in machines if machine.name not in done]
        raise HostError("\n".join([*failures, _not_cleaned(names, forget)]))


def leave_script(release: Release) -> str:
    """Return what a host runs, as root, to be as it was found; it may run any number of times."""
    return f"{_LEAVE}{release.script}\n"


def _not_cleaned(names: Sequence[str], forget: str) -> str:
    return (
        f"Not cleaned: {', '.join(names)}. What this stack put there stays: the engine's place in"
        " the swarm, containers, volumes and images, the firewall, /etc/dairflow. The other hosts"
        " are left as they were found.\n"
        "Next: start the host and run `pulumi destroy` again, which cleans it.\n"
        f"A host that runs but cannot be reached from here: `sh {LEAVE_FILE}` on its console, as"
        " root, cleans it.\n"
        f"Once that is done, or if the host is gone for good: `{forget or 'pulumi state delete'}`"
        " forgets it; then run `pulumi destroy` again."
    )


def _look(machines: Iterable[Machine], pool: RunnerPool) -> tuple[dict[str, HostFacts], list[str]]:
    """Ask all hosts side by side; the texts are of those that could not be asked."""
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
