"""Checks whether an existing host can be a node: parses its facts and lists problems; no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from infra import ports
from infra.clock import ClockReading, difference
from infra.docker_networks import about_to_take
from infra.images import registry
from infra.machines.existing.orphans import LEAVE_FILE
from infra.remote.machine_facts import read_mtus, read_ssh_connection
from infra.remote.script import script
from infra.stack import memory
from infra.stack.memory import MachineMemory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from infra.remote.machine import Machine
    from infra.stack.memory import Needs

CLAIM_FILE = "/etc/dairflow/stack"
"""Contains the random identity of the stack that a host belongs to."""
OWNER_FILE = "/etc/dairflow/owner"
"""Contains the random identity of the stack's resource that has the host."""

SUPPORTED = {"debian": (11,), "ubuntu": (20, 4)}
"""The oldest release of each system."""
OLDEST_KERNEL = (5, 4)
OLDEST_ENGINE = (25,)
"""The first release that resolves a container's host name, by which the web server reads workers'
logs, and that reads the stack's file format (``infra.stack.render``)."""
FIRST_WITH_ENGINE = {"debian": (13,), "ubuntu": (20, 4)}
"""The first release of each system whose own package of the engine is new enough: Debian 12 has
20.10; Ubuntu backports newer ones to older releases."""
ARCHITECTURE = "x86_64"
"""The architecture that the images are built for."""
MIN_FREE_KB = 5 * 10**6
"""The Airflow image takes 0.7 GB unpacked; the first manager's registry has a second copy."""

_MEMBER_PORTS = (ports.SWARM, ports.GOSSIP)

SCRIPT = script("machines/existing/scripts/check_host.sh", CLAIM_FILE=CLAIM_FILE)


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """The facts of a host. ``mtus`` maps its IPv4 addresses to the MTU (bytes) of their device.

    ``routes`` are devices and the networks that it reaches by them, ``own_pools`` whether its
    Docker has configured address pools. ``engine`` is the version of the running engine,
    ``offered_engine`` of the installed one, or otherwise of the one in its package lists.

    ``claim`` is the identity of the stack that it belongs to, empty if it belongs to none;
    ``nft_error`` is the error that nft printed if it is installed and fails.
    """

    ssh_client: str = ""
    system_id: str = ""
    version: str = ""
    system: str = ""
    kernel: str = ""
    architecture: str = ""
    hostname: str = ""
    lacks: tuple[str, ...] = ()
    mtus: Mapping[str, int] = field(default_factory=dict[str, int])
    routes: tuple[tuple[str, IPv4Network], ...] = ()
    own_pools: bool = False
    listens: frozenset[int] = frozenset()
    nft_error: str = ""
    ufw: bool = False
    free_kb: int = 0
    memory_kb: int = 0
    offered_engine: str = ""
    engine: str = ""
    swarm: str = ""
    claim: str = ""
    clock: ClockReading | None = None


def parse(text: str, *, window: tuple[float, float] | None = None) -> HostFacts:
    """Parse the output of `SCRIPT`; missing values stay empty.

    ``window`` is the times of the request and of the answer by the operator's clock.
    """
    lines: list[tuple[str, str]] = []
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        lines.append((word, rest))
    last = dict(lines)
    ssh = last.get("ssh", "")
    return HostFacts(
        ssh_client=read_ssh_connection(ssh)[0] if ssh else "",
        system_id=last.get("id", ""),
        version=last.get("version", ""),
        system=last.get("system", ""),
        kernel=last.get("kernel", ""),
        architecture=last.get("architecture", ""),
        hostname=last.get("hostname", ""),
        lacks=tuple(rest for word, rest in lines if word == "lacks"),
        mtus=read_mtus(last.get("addresses") or "[]"),
        routes=tuple(_route(rest) for word, rest in lines if word == "route"),
        own_pools="pools" in last,
        listens=frozenset(
            int(rest) for word, rest in lines if word == "listens" and rest.isdecimal()
        ),
        nft_error=last.get("nft", ""),
        ufw="ufw" in last,
        free_kb=int(last.get("free") or 0),
        memory_kb=int(last.get("memory") or 0),
        offered_engine=last.get("offered", ""),
        engine=last.get("engine", ""),
        swarm=last.get("swarm", ""),
        claim=last.get("claim", ""),
        clock=ClockReading.read(window, last.get("began", ""), last.get("ended", "")),
    )


def problems(
    machine: Machine,
    facts: HostFacts,
    *,
    others: Iterable[Machine],
    stack: str,
    adopt: bool,
    manager_ports: Iterable[int],
) -> Iterator[str]:
    """Return the reasons why a host cannot be a node of ``stack``, each with a next step.

    ``others`` are the machines that it must reach; they may include itself.
    """
    for reason, advice in (
        *_of_the_system(facts),
        *_of_the_clock(facts),
        *(_of_the_disk(facts) if facts.claim != stack else ()),  # otherwise the images are there
        *_of_the_network(machine, facts),
        *_of_docker_s_networks(facts, others),
        *_of_others(machine, facts, stack=stack, adopt=adopt, manager_ports=manager_ports),
    ):
        yield f"{machine}: {reason}\nNext: {advice}"


def memory_problems(
    machines: Iterable[Machine], facts: Mapping[str, HostFacts], needed: Needs
) -> Iterator[str]:
    """Say what the hosts lack of the memory that the services reserve."""
    sizes: dict[str, list[MachineMemory]] = {"manager": [], "worker": []}
    for machine in machines:
        size = facts[machine.name].memory_kb * 1024
        sizes[machine.role].append(MachineMemory(name=str(machine), size=size))
    yield from memory.problems(needed, sizes["manager"], sizes["worker"])


def is_foreign(facts: HostFacts, stack: str) -> bool:
    """Return whether the host is in a swarm that is not the stack's."""
    return facts.swarm not in ("", "inactive") and facts.claim != stack


def same_names(machines: Iterable[Machine], facts: Mapping[str, HostFacts]) -> Iterator[str]:
    """Report hosts with the same host name: task logs are read by host name."""
    first: dict[str, Machine] = {}
    for machine in machines:
        hostname = facts[machine.name].hostname
        other = first.setdefault(hostname, machine)
        if other != machine:
            yield (
                f"{machine}: its host name is {hostname}, which {other} has too\n"
                "Next: rename one of them with `hostnamectl set-hostname`; or remove one from the"
                " list if both are the same host"
            )


_Problem = tuple[str, str]
"""Why the host cannot be a node, and what to do about it."""


def _of_the_system(facts: HostFacts) -> Iterator[_Problem]:
    oldest = SUPPORTED.get(facts.system_id)
    if oldest is None or _numbers(facts.version) < oldest:
        yield (
            (
                f"it runs {facts.system or 'an unknown system'}; Debian 11, Ubuntu 20.04 and later"
                " releases are supported"
            ),
            "install one of these, or remove the host from the list",
        )
    if _numbers(facts.kernel) < OLDEST_KERNEL:
        yield (
            f"its kernel is {facts.kernel}; the firewall needs 5.4 or newer",
            "install the system's current kernel and boot it",
        )
    if facts.architecture != ARCHITECTURE:
        yield (
            f"its processor is {facts.architecture}; the images are built for {ARCHITECTURE}",
            "remove the host from the list",
        )
    if facts.lacks:
        packages = {"apt-get": "apt", "ip": "iproute2", "ss": "iproute2", "pgrep": "procps"}
        needed = sorted({packages[tool] for tool in facts.lacks})
        yield (f"it lacks {', '.join(facts.lacks)}", f"run `apt-get install {' '.join(needed)}`")
    if facts.nft_error:
        yield (
            f"nftables does not work for root on it: {facts.nft_error}",
            "use a host (or a container with CAP_NET_ADMIN) whose kernel has nf_tables",
        )
    if oldest is not None:
        yield from _of_the_engine(facts)


def _of_the_clock(facts: HostFacts) -> Iterator[_Problem]:
    if facts.clock is not None and facts.clock.is_wrong:
        yield difference(facts.clock)


def _of_the_engine(facts: HostFacts) -> Iterator[_Problem]:
    """Check the engine that is installed, or otherwise the one that would be installed."""
    wanted = f"{OLDEST_ENGINE[0]} or newer is needed"
    advice = "install Docker's own packages there: https://docs.docker.com/engine/install/"
    if facts.engine:
        if _numbers(facts.engine) < OLDEST_ENGINE:
            yield (f"its Docker engine is {facts.engine}; {wanted}", advice)
    elif _numbers(facts.offered_engine):
        if _numbers(facts.offered_engine) < OLDEST_ENGINE:
            yield (
                f"its system offers the Docker engine {facts.offered_engine}; {wanted}",
                advice,
            )
    elif _numbers(facts.version) < FIRST_WITH_ENGINE[facts.system_id]:
        yield (f"the Docker engine of {facts.system} is too old; {wanted}", advice)


def _of_the_disk(facts: HostFacts) -> Iterator[_Problem]:
    if facts.free_kb < MIN_FREE_KB:
        yield (
            (
                f"{facts.free_kb / 1e6:.1f} GB of disk are free where Docker keeps images, and"
                f" {MIN_FREE_KB / 1e6:.0f} GB are needed"
            ),
            "free some space (`docker system prune` may help)",
        )


def _of_the_network(machine: Machine, facts: HostFacts) -> Iterator[_Problem]:
    if facts.mtus and machine.private_address not in facts.mtus:
        yield (
            (
                f"its private address is {machine.private_address} in the settings, but the host"
                f" has {', '.join(sorted(facts.mtus))}"
            ),
            "set privateAddress to the one of these that the other hosts reach",
        )
    try:
        IPv4Address(facts.ssh_client)
    except AddressValueError:
        yield (
            (
                f"your SSH connection comes from {facts.ssh_client or 'an unknown address'}; the"
                " firewall accepts IPv4 only, so it would lock you out"
            ),
            "set address to the host's IPv4 address",
        )
    if facts.ufw:
        yield (
            "ufw is active and would close the swarm's ports between the hosts",
            (
                "run `ufw disable` there: the stack brings a firewall of its own, see"
                " docs/existing-hosts.md"
            ),
        )


def _of_docker_s_networks(facts: HostFacts, others: Iterable[Machine]) -> Iterator[_Problem]:
    """Report peers that become unreachable when Docker creates its bridges."""
    if facts.own_pools:
        return
    peers = {other.private_address: f"{other.name} has {other.private_address}" for other in others}
    peers[facts.ssh_client] = f"your SSH connection comes from {facts.ssh_client}"
    for network in about_to_take(facts.routes, engine_runs=bool(facts.engine)):
        for address, who in peers.items():
            if _is_in(address, network):
                yield (
                    (
                        f"Docker will give {network} to a bridge of its own, and {who}: packets to"
                        " that address would no longer arrive"
                    ),
                    (
                        "configure a free network for Docker there, in /etc/docker/daemon.json"
                        ' (and restart Docker if it runs): {"default-address-pools": [{"base":'
                        ' "10.210.0.0/16", "size": 24}]}'
                    ),
                )


def _of_others(
    machine: Machine,
    facts: HostFacts,
    *,
    stack: str,
    adopt: bool,
    manager_ports: Iterable[int],
) -> Iterator[_Problem]:
    """Report other uses of the host."""
    if facts.claim not in ("", stack) and not adopt:
        yield (
            f"it belongs to another stack of this project (identity {facts.claim})",
            (
                "remove it from that stack with `pulumi up`; if that stack is lost, run `sh"
                f" {LEAVE_FILE}` there as root, which removes that stack's data"
            ),
        )
    elif is_foreign(facts, stack) and not adopt:
        yield (
            f"it is in another swarm (its state there is {facts.swarm})",
            (
                "if you do not need that swarm, run `docker swarm leave --force` on it, or `pulumi"
                " config set adopt true`, which does that; otherwise remove it from the list"
            ),
        )
    if facts.claim == stack or facts.swarm not in ("", "inactive"):
        return
    needed = {
        *_MEMBER_PORTS,
        *((registry.PORT, *manager_ports) if machine.role == "manager" else ()),
    }
    if taken := sorted(needed & facts.listens):
        yield (
            f"another program listens on TCP {', '.join(map(str, taken))}",
            "stop it (`ss -ltnp` lists it); you can change webPort and flowerPort",
        )


def _route(text: str) -> tuple[str, IPv4Network]:
    """Parse a device and a network; ip prints a single address without its prefix length."""
    device, _, network = text.partition(" ")
    return device, IPv4Network(network)


def _is_in(address: str, network: IPv4Network) -> bool:
    try:
        return IPv4Address(address) in network
    except AddressValueError:
        return False


def _numbers(version: str) -> tuple[int, ...]:
    """Parse the numbers at the beginning of a version: ``6.1.0-18-amd64`` is (6, 1, 0)."""
    numbers: list[int] = []
    for part in version.replace("-", ".").split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)
