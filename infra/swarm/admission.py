"""What must hold before anything is changed; every objection is told at once."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from infra.clock import difference
from infra.swarm.cluster import PRIMARY_LABEL
from infra.swarm.errors import SwarmError
from infra.swarm.release import DISK_LOST
from infra.swarm.standing import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from infra.firewall import Policy
    from infra.remote.machine import Machine
    from infra.swarm.cluster import Cluster
    from infra.swarm.facts import MachineFacts
    from infra.swarm.standing import Standing

_PACKAGED_SYSTEMS = {"debian", "ubuntu"}
_DEFAULT_POOL_START = IPv4Network("10.0.0.0/12")
"""Docker takes overlay subnets from the beginning of 10.0.0.0/8, a /24 each."""
_OTHER_POOLS = ("192.168.0.0/16", "10.240.0.0/12")


def check(
    cluster: Cluster,
    facts: Mapping[str, MachineFacts],
    standing: Standing,
    leaving: Iterable[Machine] = (),
) -> None:
    """Refuse what would fail half-way, lock the operator out, or lose data.

    ``facts`` holds every wanted machine, and those of ``leaving`` that answered.

    Raises:
        SwarmError: with every objection.

    """
    objections = list(_cluster_objections(cluster))
    objections += _data_objections(cluster, facts, standing, leaving)
    objections += wrong_clocks(cluster, facts)
    for machine in cluster.machines:
        objections += _machine_objections(cluster, machine, facts[machine.name], standing)
    if objections:
        raise SwarmError("\n".join(objections))


def wrong_clocks(cluster: Cluster, facts: Mapping[str, MachineFacts]) -> Iterator[str]:
    """Name the machines whose clock differs too much from the operator's."""
    for machine in cluster.machines:
        clock = facts[machine.name].clock
        if clock is not None and clock.is_wrong:
            said, advice = difference(clock)
            yield f"{machine}: {said}\nNext: {advice}"


def address_pool(members: Iterable[str]) -> str:
    """Return where overlay networks take their subnets from, clear of the machines' own.

    Empty stands for Docker's default. A virtual network in the cloud is often 10.0.0.0/16, which
    the first overlay networks would collide with.
    """
    addresses = [IPv4Address(member) for member in members]
    if not any(address in _DEFAULT_POOL_START for address in addresses):
        return ""
    return next(pool for pool in _OTHER_POOLS if not any(a in IPv4Network(pool) for a in addresses))


def _cluster_objections(cluster: Cluster) -> Iterator[str]:
    if not cluster.managers:
        yield f"{cluster.name}: no machine is a manager\nNext: give one the role manager"
    names = [machine.name for machine in cluster.machines]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{cluster.name}: two machines are called {name}\nNext: rename one of them"


def _data_objections(
    cluster: Cluster,
    facts: Mapping[str, MachineFacts],
    standing: Standing,
    leaving: Iterable[Machine],
) -> Iterator[str]:
    """Find what would part the first manager from the database, dead or alive.

    The label tells who has that. The registry, its address and the URLs follow the list's order.
    """
    first = cluster.managers[0].name if cluster.managers else ""
    holders = {
        name_of(node): node for node in standing.nodes if node.labels.get(PRIMARY_LABEL) == "true"
    }
    for name, node in holders.items() if first and first not in holders else ():
        has = f"its disk holds the database and the registry (label {PRIMARY_LABEL})"
        keep = f"keep {name} the first manager of the list"
        if name not in standing.departing:
            yield f"{name}: {has}, and the first manager is to be {first}\nNext: {keep}"
        elif name in facts or node.state == "ready":
            yield (
                f"{name}: it is to leave, but {has}\nNext: {keep}; or take a backup of the"
                " database, run `pulumi destroy`, and make the cluster anew without this machine"
            )
        else:
            yield (
                f"{name}: it is to leave and does not answer, but {has}\nNext: {keep}, and start"
                f" it again. {DISK_LOST}"
            )
    if standing.manager is None and cluster.release:
        for machine in leaving:
            if machine.role == "manager" and machine.name not in facts:
                yield (
                    f"{machine.name}: it is to leave and does not answer, and no other manager"
                    " tells whether its disk holds the database and the registry\nNext: keep it"
                    f" in the list, at its place, and start it again. {DISK_LOST}"
                )


def _machine_objections(
    cluster: Cluster, machine: Machine, facts: MachineFacts, standing: Standing
) -> Iterator[str]:
    if facts.mtus and machine.private_address not in facts.mtus:
        has = ", ".join(sorted(facts.mtus))
        yield (
            f"{machine}: {machine.private_address} is set as its private address, but it has"
            f" {has}\nNext: set the one of these that the other nodes reach"
        )
    if not _admits(cluster.firewall, facts.ssh_client):
        yield (
            f"{machine}: the firewall would shut you out: your SSH comes from"
            f" {facts.ssh_client}, and the operator's addresses are"
            f" {', '.join(cluster.firewall.operator_cidrs) or 'none'}\nNext: add"
            f" {facts.ssh_client}/32 to them"
        )
    missing = facts.engine == "missing" or not facts.has_nft
    if missing and not _PACKAGED_SYSTEMS.intersection(facts.os_family):
        yield (
            f"{machine}: Docker's engine and nftables are installed from packages on Debian and"
            f" Ubuntu only; this is {' '.join(facts.os_family) or 'unknown'}\nNext: install both"
            " there, then run the same again"
        )
    if facts.swarm_state == "locked":
        yield (
            f"{machine}: its swarm is locked\nNext: run `docker swarm unlock` on it, then the"
            " same again"
        )
    if cluster.firewall.encrypted_overlay and not facts.esp:
        yield (
            f"{machine}: its kernel has no IPsec ESP (AES-GCM), which encrypted overlay networks"
            " need\nNext: switch the encryption off, or use a kernel with CONFIG_INET_ESP"
        )
    node = standing.members.get(machine.name)
    if node is not None and facts.node_address not in ("", machine.private_address):
        yield (
            f"{machine}: it is in the swarm with the address {facts.node_address}, and its private"
            f" address is {machine.private_address} now\nNext: {_moved(machine, facts)}"
        )


def _moved(machine: Machine, facts: MachineFacts) -> str:
    if facts.holds_swarm:
        return (
            "run `docker swarm init --force-new-cluster --advertise-addr"
            f" {machine.private_address}` on it if it is the only manager, which keeps its"
            " services; else demote it, run `docker swarm leave --force` on it, and the same again"
        )
    return "run `docker swarm leave --force` on it, then the same again: it joins again"


def _admits(policy: Policy, client: str) -> bool:
    """Tell whether the operator's own packets pass; an IPv6 connection is never admitted."""
    if not client:
        return True
    try:
        address = IPv4Address(client.removeprefix("::ffff:"))
    except ValueError:
        return False
    return any(address in IPv4Network(cidr) for cidr in policy.operator_cidrs)
