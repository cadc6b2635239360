"""Checks the machines before anything is changed; reports all problems together."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from infra.clock import difference
from infra.swarm.cluster import PRIMARY_LABEL
from infra.swarm.errors import SwarmError
from infra.swarm.membership import name_of
from infra.swarm.release import DISK_LOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from infra.firewall import Policy
    from infra.remote.machine import Machine
    from infra.swarm.cluster import Cluster
    from infra.swarm.facts import MachineFacts
    from infra.swarm.membership import Membership

_PACKAGED_SYSTEMS = {"debian", "ubuntu"}
_DEFAULT_POOL_START = IPv4Network("10.0.0.0/12")
"""Docker allocates overlay subnets from the beginning of 10.0.0.0/8, a /24 each."""
_OTHER_POOLS = ("192.168.0.0/16", "10.240.0.0/12")


def check(
    cluster: Cluster,
    facts: Mapping[str, MachineFacts],
    membership: Membership,
    leaving: Iterable[Machine] = (),
) -> None:
    """Reject a change that would fail half-way, lock the operator out, or lose data.

    ``facts`` has every machine of ``cluster``, and the reachable ones of ``leaving``.

    Raises:
        SwarmError: lists every problem.

    """
    problems = list(_cluster_problems(cluster))
    problems += _data_problems(cluster, facts, membership, leaving)
    problems += wrong_clocks(cluster, facts)
    for machine in cluster.machines:
        problems += _machine_problems(cluster, machine, facts[machine.name], membership)
    if problems:
        raise SwarmError("\n".join(problems))


def wrong_clocks(cluster: Cluster, facts: Mapping[str, MachineFacts]) -> Iterator[str]:
    """Report the machines whose clock differs too much from the operator's."""
    for machine in cluster.machines:
        clock = facts[machine.name].clock
        if clock is not None and clock.is_wrong:
            problem, advice = difference(clock)
            yield f"{machine}: {problem}\nNext: {advice}"


def address_pool(members: Iterable[str]) -> str:
    """Return an address pool for overlay networks that does not overlap the machines' addresses.

    Empty means Docker's default. A virtual network in the cloud is often 10.0.0.0/16, which would
    overlap the first overlay networks.
    """
    addresses = [IPv4Address(member) for member in members]
    if not any(address in _DEFAULT_POOL_START for address in addresses):
        return ""
    return next(pool for pool in _OTHER_POOLS if not any(a in IPv4Network(pool) for a in addresses))


def _cluster_problems(cluster: Cluster) -> Iterator[str]:
    if not cluster.managers:
        yield f"{cluster.name}: no machine has the role manager\nNext: give one the role manager"
    names = [machine.name for machine in cluster.machines]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{cluster.name}: two machines are called {name}\nNext: rename one of them"


def _data_problems(
    cluster: Cluster,
    facts: Mapping[str, MachineFacts],
    membership: Membership,
    leaving: Iterable[Machine],
) -> Iterator[str]:
    """Report changes that would separate the first manager from the database.

    The label marks the node with the database. The registry, its address and the URLs follow the
    list's order.
    """
    first = cluster.managers[0].name if cluster.managers else ""
    holders = {
        name_of(node): node for node in membership.nodes if node.labels.get(PRIMARY_LABEL) == "true"
    }
    for name, node in holders.items() if first and first not in holders else ():
        has = f"its disk has the database and the registry (label {PRIMARY_LABEL})"
        keep = f"keep {name} the first manager of the list"
        if name not in membership.departing:
            yield f"{name}: {has}, but the first manager in the settings is {first}\nNext: {keep}"
        elif name in facts or node.state == "ready":
            yield (
                f"{name}: it is removed from the settings, but {has}\n"
                f"Next: {keep}; or back up the database, run `pulumi destroy`, and recreate the"
                " cluster without this machine"
            )
        else:
            yield (
                f"{name}: it is removed from the settings and does not answer, but {has}\n"
                f"Next: {keep}, and start it again. {DISK_LOST}"
            )
    if membership.manager is None and cluster.release:
        for machine in leaving:
            if machine.role == "manager" and machine.name not in facts:
                yield (
                    f"{machine.name}: it is removed from the settings and does not answer, and no"
                    " other manager reports whether its disk has the database and the registry\n"
                    "Next: keep it in the list, in the same position, and start it again."
                    f" {DISK_LOST}"
                )


def _machine_problems(
    cluster: Cluster, machine: Machine, facts: MachineFacts, membership: Membership
) -> Iterator[str]:
    if facts.mtus and machine.private_address not in facts.mtus:
        has = ", ".join(sorted(facts.mtus))
        yield (
            f"{machine}: {machine.private_address} is set as its private address, but it has"
            f" {has}\nNext: set the one of these that the other nodes reach"
        )
    if not _admits(cluster.firewall, facts.ssh_client):
        yield (
            f"{machine}: the firewall would lock you out: your SSH connection comes from"
            f" {facts.ssh_client}, and the operator's addresses are"
            f" {', '.join(cluster.firewall.operator_cidrs) or 'none'}\n"
            f"Next: add {facts.ssh_client}/32 to them"
        )
    missing = facts.engine == "missing" or not facts.has_nft
    if missing and not _PACKAGED_SYSTEMS.intersection(facts.os_family):
        yield (
            f"{machine}: Docker's engine and nftables are installed from packages on Debian and"
            f" Ubuntu only; this is {' '.join(facts.os_family) or 'unknown'}\n"
            "Next: install both there, then rerun the command"
        )
    if facts.swarm_state == "locked":
        yield (
            f"{machine}: its swarm is locked\n"
            "Next: run `docker swarm unlock` on it, then rerun the command"
        )
    if cluster.firewall.encrypted_overlay and not facts.esp:
        yield (
            f"{machine}: its kernel does not have IPsec ESP (AES-GCM), which encrypted overlay"
            " networks need\n"
            "Next: disable the encryption, or use a kernel with CONFIG_INET_ESP"
        )
    node = membership.members.get(machine.name)
    if node is not None and facts.node_address not in ("", machine.private_address):
        yield (
            f"{machine}: it is in the swarm with the address {facts.node_address}, but its private"
            f" address is now {machine.private_address}\n"
            f"Next: {_moved(machine, facts)}"
        )


def _moved(machine: Machine, facts: MachineFacts) -> str:
    if facts.holds_swarm:
        return (
            "run `docker swarm init --force-new-cluster --advertise-addr"
            f" {machine.private_address}` on it if it is the only manager, which keeps its"
            " services; otherwise demote it, run `docker swarm leave --force` on it, and rerun the"
            " command"
        )
    return "run `docker swarm leave --force` on it, then rerun the command: it joins again"


def _admits(policy: Policy, client: str) -> bool:
    """Return whether the firewall accepts the operator's packets; it never accepts IPv6."""
    if not client:
        return True
    try:
        address = IPv4Address(client.removeprefix("::ffff:"))
    except ValueError:
        return False
    return any(address in IPv4Network(cidr) for cidr in policy.operator_cidrs)
