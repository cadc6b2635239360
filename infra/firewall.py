"""The cluster's table of ports: which sources may reach which port, and why.

`openings` is the table. A node renders it as an nftables ruleset (`nftables_ruleset`); a cloud
renders the same rows as its security groups. All other ports are closed, including ports that
Docker publishes: those are forwarded and do not pass a host's input chain (moby#22054), so the
forward path is filtered by the port that the client requested.

A container is not a member, although its packets leave a node with the node's address: ports that
are open only to members are closed to containers before that address is set.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import asdict, dataclass
from enum import Enum
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import TYPE_CHECKING, Any, Literal

from infra import ports

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Protocol = Literal["tcp", "udp", "esp"]

TABLE_NAME = "dairflow"


class Source(Enum):
    """Source that may connect to a port."""

    OPERATOR = "operator"
    """The source addresses of the operator's SSH."""
    MEMBERS = "members"
    """The cluster's own nodes, by their private addresses."""
    CLIENTS = "clients"
    """The addresses that the settings allow to use the web pages."""
    IMAGE_PUSHERS = "image_pushers"
    """The source addresses of image pushes from the operator's own machine: for a local cluster the
    bridge's gateway, since pushes go through a port published on loopback."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Access rules of the settings; sources are IPv4 CIDRs."""

    operator_cidrs: tuple[str, ...]
    client_cidrs: tuple[str, ...]
    image_pusher_cidrs: tuple[str, ...] = ()
    web_port: int = ports.WEB
    flower_port: int = ports.FLOWER
    registry_port: int | None = ports.REGISTRY
    """Port of the registry on the first manager; None if there is none."""
    encrypted_overlay: bool = False

    def __post_init__(self) -> None:
        """Reject a source that is not an IPv4 network.

        Raises:
            ValueError: names the field, the given value and what is valid.

        """
        for field in ("operator_cidrs", "client_cidrs", "image_pusher_cidrs"):
            for cidr in getattr(self, field):
                try:
                    IPv4Network(cidr)
                except (AddressValueError, NetmaskValueError, ValueError) as exc:
                    message = (
                        f"{field}: {cidr!r} is not an IPv4 network ({exc}); valid: for example"
                        " 203.0.113.7/32 or 0.0.0.0/0"
                    )
                    raise ValueError(message) from exc

    def cidrs(self, source: Source, members: Iterable[str]) -> tuple[str, ...]:
        """Return the addresses of ``source``, given the members' addresses."""
        return {
            Source.OPERATOR: self.operator_cidrs,
            Source.MEMBERS: tuple(members),
            Source.CLIENTS: self.client_cidrs,
            Source.IMAGE_PUSHERS: self.image_pusher_cidrs,
        }[source]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types for a resource's state."""
        return {
            **asdict(self),
            "operator_cidrs": list(self.operator_cidrs),
            "client_cidrs": list(self.client_cidrs),
            "image_pusher_cidrs": list(self.image_pusher_cidrs),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Policy:
        """Return the policy from the result of `to_dict`, in which Pulumi's numbers are floats."""
        registry_port = data.get("registry_port")
        return cls(
            operator_cidrs=tuple(data["operator_cidrs"]),
            client_cidrs=tuple(data["client_cidrs"]),
            image_pusher_cidrs=tuple(data["image_pusher_cidrs"]),
            web_port=int(data["web_port"]),
            flower_port=int(data["flower_port"]),
            registry_port=None if registry_port is None else int(registry_port),
            encrypted_overlay=bool(data["encrypted_overlay"]),
        )


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A row of the table. ``port`` is None if the protocol does not have ports."""

    port: int | None
    protocol: Protocol
    source: Source
    why: str


def openings(policy: Policy, *, ssh_port: int = ports.SSH) -> tuple[Opening, ...]:
    """Return the table: each row permits new connections, and all others are dropped.

    ``ssh_port`` is the port of the machine's own sshd. ICMP, for path MTUs and pings, is open to
    everyone and does not have a row.
    """
    web, flower = policy.web_port, policy.flower_port
    rows = [
        _row(ssh_port, "tcp", Source.OPERATOR, "SSH, by which everything here is set up"),
        _row(ports.SWARM, "tcp", Source.MEMBERS, "swarm control: joining, tasks, Raft"),
        _row(
            ports.GOSSIP, "tcp", Source.MEMBERS, "gossip between engines: overlay networks' state"
        ),
        _row(ports.GOSSIP, "udp", Source.MEMBERS, "gossip between engines: who is alive"),
        _row(ports.OVERLAY, "udp", Source.MEMBERS, "VXLAN, which carries the overlay networks"),
        *_registry_rows(policy.registry_port),
        _row(web, "tcp", Source.CLIENTS, "Airflow's web pages and REST API"),
        _row(flower, "tcp", Source.CLIENTS, "Flower's web pages"),
    ]
    if policy.encrypted_overlay:
        rows.append(_row(None, "esp", Source.MEMBERS, "encrypted overlay networks (IPsec)"))
    return tuple(rows)


def _registry_rows(port: int | None) -> Iterator[Opening]:
    if port is not None:
        yield _row(port, "tcp", Source.MEMBERS, "the registry, which nodes pull images from")
        yield _row(port, "tcp", Source.IMAGE_PUSHERS, "the registry, pushed to by the operator")


def _row(port: int | None, protocol: Protocol, source: Source, why: str) -> Opening:
    return Opening(port=port, protocol=protocol, source=source, why=why)


def nftables_ruleset(policy: Policy, members: Iterable[str], *, ssh_port: int = ports.SSH) -> str:
    """Render the table for a node: a script for ``nft -f`` that replaces our table atomically.

    Other tables, including Docker's, are not changed. The same members in any order render the same
    text.
    """
    return _rendered(policy, tuple(members), openings(policy, ssh_port=ssh_port))


# A plan renders the same few rulesets for every machine, each with a line for every machine.
@functools.lru_cache(maxsize=16)
def _rendered(policy: Policy, members: tuple[str, ...], rows: tuple[Opening, ...]) -> str:
    addresses = sorted(set(members), key=IPv4Address)
    sets = [_address_set(source, policy.cidrs(source, addresses)) for source in Source]
    rules = [_rule(opening) for opening in rows]
    of_members = [row for row in rows if row.source in _MEMBERS_OWN]
    closed = list(dict.fromkeys(f"{_match(row)} {_TO_MEMBERS} drop" for row in of_members))
    return _RULESET.format(
        table=TABLE_NAME,
        sets="\n".join(sets),
        openings=_indented(rules, "        "),
        closed=_indented(closed, "        "),
    )


_MEMBERS_OWN = (Source.MEMBERS, Source.IMAGE_PUSHERS)
"""Sources that use the ports of the nodes' own services; containers do not."""
_TO_MEMBERS = "ct original ip daddr @members"


@dataclass(frozen=True, kw_only=True)
class GroupRule:
    """A rule of a cloud's security group; ``cidr`` is None for the group's own members.

    ``description`` contains only characters that EC2 allows (no apostrophe), at most 255.
    """

    name: str
    protocol: str
    from_port: int | None
    to_port: int | None
    cidr: str | None
    description: str


def security_group_rules(policy: Policy) -> tuple[GroupRule, ...]:
    """Render the table for a cloud: each row once for each source, and ICMP from everyone.

    ESP is written as its number, as EC2 requires; for ICMP, -1 is every type and code.
    """
    rules = {
        "icmp": GroupRule(
            name="icmp",
            protocol="icmp",
            from_port=-1,
            to_port=-1,
            cidr="0.0.0.0/0",
            description="path MTUs, pings",
        )
    }
    for row in openings(policy):
        members = row.source is Source.MEMBERS
        for cidr in (None,) if members else policy.cidrs(row.source, ()):
            port = "" if row.port is None else f"-{row.port}"
            source = "members" if cidr is None else cidr.replace("/", "-")
            rule = GroupRule(
                name=f"{row.protocol}{port}-{source}",
                protocol=_GROUP_PROTOCOLS.get(row.protocol, row.protocol),
                from_port=row.port,
                to_port=row.port,
                cidr=cidr,
                description=row.why.replace("'", ""),
            )
            rules[rule.name] = rule
    return tuple(rules.values())


_GROUP_PROTOCOLS: Mapping[str, str] = {"esp": "50"}


def _address_set(source: Source, cidrs: tuple[str, ...]) -> str:
    elements = f"        elements = {{ {', '.join(cidrs)} }}\n" if cidrs else ""
    return (
        f"    set {source.value} {{\n"
        "        type ipv4_addr\n"
        "        flags interval\n"
        "        auto-merge\n"
        f"{elements}"
        "    }"
    )


def _rule(opening: Opening) -> str:
    """Render a row. Members reach each other only by their private addresses.

    Otherwise a container would reach a member by a second address, in another network.
    """
    match = f"{_match(opening)} ip saddr @{opening.source.value}"
    if opening.source is Source.MEMBERS:
        match += f" {_TO_MEMBERS}"
    return f'{match} accept comment "{opening.why}"'


def _match(opening: Opening) -> str:
    if opening.port is None:
        return f"meta l4proto {opening.protocol}"
    return f"meta l4proto {opening.protocol} ct original proto-dst {opening.port}"


def _indented(lines: Iterable[str], by: str) -> str:
    return "\n".join(by + line for line in lines)


def digest(ruleset: str) -> str:
    """Return the digest of a ruleset, to compare the loaded with the desired one."""
    return hashlib.sha256(ruleset.encode()).hexdigest()[:16]


def revision() -> str:
    """Return the digest of the rules that every ruleset has, with any settings."""
    return digest(nftables_ruleset(Policy(operator_cidrs=(), client_cidrs=()), ()))


# With the first two lines the script works whether or not the table exists; nft runs a whole file
# as one transaction, so there is no moment without rules. "ct original proto-dst" is the port that
# the client requested, before Docker's translation of a published port to a container's. In the
# forward path, connections from containers are accepted, and others only to published ports: a
# container's own address, to which a neighbour on the same link could route, is closed. Ports for
# members are closed to forwarded connections from any bridge. A container can forge a member's
# address: such a packet arrives on a device that does not lead to that member. Kernels before 5.19
# look that up in prerouting only. IPv6: the cluster does not use it, so the only new packets that
# are accepted are those that maintain the host's own address and routes (RFC 4890, 4.4.1) and
# answers to DHCPv6, which conntrack cannot match to a multicast request.
_RULESET = """\
table inet {table}
delete table inet {table}
table inet {table} {{
{sets}

    chain opened {{
{openings}
    }}

    chain closed_to_containers {{
{closed}
    }}

    chain forged {{
        type filter hook prerouting priority raw; policy accept;
        ip saddr @members fib saddr . iif oif missing drop
    }}

    chain input {{
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iif lo accept
        meta l4proto icmp accept
        icmpv6 type {{ destination-unreachable, packet-too-big, time-exceeded, parameter-problem, \
nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query }} accept
        ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
        jump opened
    }}

    chain forward {{
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        ct status dnat jump opened
        jump closed_to_containers
        iifname "docker*" accept
        iifname "br-*" accept
    }}
}}
"""
