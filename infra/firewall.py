"""The cluster's one table of ports: who may reach what, and why.

`openings` is the table. A node renders it as an nftables ruleset (`nftables_ruleset`); a cloud
renders the same rows as its security groups. Whatever the table does not open is closed, for
ports that Docker publishes too: those are forwarded and never meet a host's input chain
(moby#22054), so the forward path is filtered by the port that the client asked for.

A container is not a member, although its packets leave a node with the node's address: what the
table opens to members only is closed to containers before that address is set.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import asdict, dataclass
from enum import Enum
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Protocol = Literal["tcp", "udp", "esp"]

TABLE_NAME = "dairflow"


class Source(Enum):
    """Who a port is open to."""

    OPERATOR = "operator"
    """The addresses that the operator's SSH comes from."""
    MEMBERS = "members"
    """The cluster's own nodes, by their private addresses."""
    CLIENTS = "clients"
    """The addresses that the settings allow to use the web pages."""
    IMAGE_PUSHERS = "image_pushers"
    """The addresses that image pushes from the operator's own machine come from: for a local
    cluster the bridge's gateway, since pushes go through a port published on loopback."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What the settings say about who may reach the cluster; sources are IPv4 CIDRs."""

    operator_cidrs: tuple[str, ...]
    client_cidrs: tuple[str, ...]
    image_pusher_cidrs: tuple[str, ...] = ()
    web_port: int = 8080
    flower_port: int = 5555
    registry_port: int | None = 5000
    """Of the registry on the first manager; None where there is none."""
    encrypted_overlay: bool = False

    def __post_init__(self) -> None:
        """Refuse a source that is no IPv4 network.

        Raises:
            ValueError: naming the field, what was given and what is valid.

        """
        for field in ("operator_cidrs", "client_cidrs", "image_pusher_cidrs"):
            for cidr in getattr(self, field):
                try:
                    IPv4Network(cidr)
                except (AddressValueError, NetmaskValueError, ValueError) as exc:
                    message = (
                        f"{field}: {cidr!r} is no IPv4 network ({exc});"
                        " valid is for example 203.0.113.7/32 or 0.0.0.0/0"
                    )
                    raise ValueError(message) from exc

    def cidrs(self, source: Source, members: Iterable[str]) -> tuple[str, ...]:
        """Return the addresses that ``source`` stands for, given the members' addresses."""
        return {
            Source.OPERATOR: self.operator_cidrs,
            Source.MEMBERS: tuple(members),
            Source.CLIENTS: self.client_cidrs,
            Source.IMAGE_PUSHERS: self.image_pusher_cidrs,
        }[source]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, as a resource's state keeps them."""
        return {
            **asdict(self),
            "operator_cidrs": list(self.operator_cidrs),
            "client_cidrs": list(self.client_cidrs),
            "image_pusher_cidrs": list(self.image_pusher_cidrs),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Policy:
        """Read what `to_dict` wrote; Pulumi's state turns every number into a float."""
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
    """One row of the table. ``port`` is None where the protocol has no ports."""

    port: int | None
    protocol: Protocol
    source: Source
    why: str


def openings(policy: Policy, *, ssh_port: int = 22) -> tuple[Opening, ...]:
    """Return the table: every row is a new connection that is let in, and nothing else is.

    ``ssh_port`` is where the machine's own sshd listens. ICMP, which finds path MTUs and answers
    pings, is open to everyone and has no row.
    """
    web, flower = policy.web_port, policy.flower_port
    rows = [
        _row(ssh_port, "tcp", Source.OPERATOR, "SSH, by which everything here is set up"),
        _row(2377, "tcp", Source.MEMBERS, "swarm control: joining, tasks, Raft"),
        _row(7946, "tcp", Source.MEMBERS, "gossip between engines: overlay networks' state"),
        _row(7946, "udp", Source.MEMBERS, "gossip between engines: who is alive"),
        _row(4789, "udp", Source.MEMBERS, "VXLAN, which carries the overlay networks"),
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


def nftables_ruleset(policy: Policy, members: Iterable[str], *, ssh_port: int = 22) -> str:
    """Render the table for one node: a script for ``nft -f`` that replaces our table at once.

    Other tables, Docker's among them, are left alone. The same members in any order render the
    same text.
    """
    return _rendered(policy, tuple(members), openings(policy, ssh_port=ssh_port))


# A plan renders the same few rulesets for every machine, each as long as there are machines.
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
"""Who uses the ports that the nodes' own services listen on; containers do not."""
_TO_MEMBERS = "ct original ip daddr @members"


@dataclass(frozen=True, kw_only=True)
class GroupRule:
    """One rule of a cloud's security group; ``cidr`` is None for the group's own members.

    ``description`` holds only what EC2 allows in one (no apostrophe), at most 255 characters.
    """

    name: str
    protocol: str
    from_port: int | None
    to_port: int | None
    cidr: str | None
    description: str


def security_group_rules(policy: Policy) -> tuple[GroupRule, ...]:
    """Render the table for a cloud: every row once for each source, and ICMP from everyone.

    ESP goes by its number, as EC2 wants it; for ICMP, -1 is every type and code.
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
    """Render a row. Members reach each other by their private addresses only.

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
    """Return the short name of a ruleset, to tell a loaded one from the wanted one."""
    return hashlib.sha256(ruleset.encode()).hexdigest()[:16]


def revision() -> str:
    """Return the short name of the rules that every ruleset has, whatever the settings say."""
    return digest(nftables_ruleset(Policy(operator_cidrs=(), client_cidrs=()), ()))


# The first two lines make the script work whether or not the table is there already; nft runs a
# whole file as one transaction, so there is no moment without rules.
#
# "ct original proto-dst" is the port that the client asked for, before Docker's translation of a
# published port to a container's. In the forward path, connections that come from containers are
# let out, and those from elsewhere only to published ports: a container's own address, which a
# neighbour on the same link could route to, is closed.
#
# What the members have for each other is closed to forwarded connections, whatever the name of the
# bridge that they come from. A container can forge a member's address: such a packet arrives on a
# device that does not lead to that member. Kernels before 5.19 look that up in prerouting only.
#
# IPv6: the cluster does not use it, so nothing new comes in but what keeps the host's own address
# and routes alive (RFC 4890, 4.4.1) and answers to DHCPv6, which conntrack cannot match to a
# multicast request.
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
