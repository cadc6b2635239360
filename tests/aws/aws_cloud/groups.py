"""Security groups, as EC2 enforces them around an instance: an nftables table. No I/O.

Stateful, closed by default both ways; a reference to a group means the addresses of its members.
Outside the VPC there is only what the subnet's routes lead to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TABLE = "ec2"
METADATA = "169.254.169.254"


@dataclass(frozen=True, kw_only=True)
class Fence:
    """What holds for one instance."""

    vpc_cidr: str
    has_internet: bool
    rules: Sequence[Mapping[str, Any]]
    """Of every group that the instance is in, as DescribeSecurityGroupRules lists them."""
    members: Mapping[str, Sequence[str]]
    """Group → private addresses of its instances."""
    metadata: str = ""
    """``address:port`` of the metadata service; empty if there is none."""


def ruleset(fence: Fence) -> str:
    """Render a script for ``nft -f`` that replaces the table.

    It filters before the guest's own translation of published ports (-100), and after the kernel
    has found the connection (-200).
    """
    ins = [_rule(rule, fence, "saddr") for rule in fence.rules if not rule["IsEgress"]]
    outs = [_rule(rule, fence, "daddr") for rule in fence.rules if rule["IsEgress"]]
    outside_in = "" if fence.has_internet else f"ip saddr != {fence.vpc_cidr} drop"
    outside_out = "" if fence.has_internet else f"ip daddr != {fence.vpc_cidr} drop"
    # What the machine itself sends, not what its containers do: the hop limit is 1.
    metadata = (
        f"ip daddr {METADATA} tcp dport 80 dnat to {fence.metadata}" if fence.metadata else ""
    )
    return f"""\
table ip {TABLE}
delete table ip {TABLE}
table ip {TABLE} {{
    chain arriving {{
        type filter hook prerouting priority -150; policy drop;
        iifname != "eth0" accept
        ct state established,related accept
        {outside_in}
        {_lines(ins)}
    }}
    chain leaving {{
        type filter hook postrouting priority 150; policy drop;
        oifname != "eth0" accept
        ct state established,related accept
        {outside_out}
        {_lines(outs)}
    }}
    chain own {{
        type nat hook output priority -110; policy accept;
        {metadata}
    }}
}}
"""


def _lines(rules: Sequence[str]) -> str:
    return "\n        ".join(sorted({rule for rule in rules if rule}))


def _rule(rule: Mapping[str, Any], fence: Fence, field: str) -> str:
    peers = _peers(rule, fence)
    if not peers:
        return ""
    protocol = rule["IpProtocol"]
    match = f"ip {field} {{ {', '.join(sorted(peers))} }}"
    if protocol != "-1":
        match += f" ip protocol {protocol}"
    if protocol in ("tcp", "udp"):
        match += f" {protocol} dport {rule['FromPort']}-{rule['ToPort']}"
    return f"{match} accept"


def _peers(rule: Mapping[str, Any], fence: Fence) -> Sequence[str]:
    if rule.get("CidrIpv4"):
        return [rule["CidrIpv4"]]
    reference = rule.get("ReferencedGroupInfo", {}).get("GroupId")
    return fence.members.get(reference, ()) if reference else ()
