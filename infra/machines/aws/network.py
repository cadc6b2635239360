"""The network of the ``aws`` target's machines: a VPC of their own, or subnets that exist."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pulumi
from pulumi_aws import ec2, vpc

from infra.firewall import security_group_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from infra.firewall import Policy
    from infra.machines.aws.preflight import Site

EVERYWHERE = "0.0.0.0/0"
SUBNET_BITS = 4
"""A subnet gets a sixteenth of the VPC: each zone of a region has one letter, a to p."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """Network in which instances are launched."""

    vpc_id: pulumi.Input[str]
    subnets: Mapping[str, pulumi.Input[str]]
    """The subnet's ID by zone."""
    ready: Sequence[pulumi.Resource]
    """Resources that a machine needs to reach the internet when it boots."""


@dataclass(frozen=True, kw_only=True)
class Naming:
    """Names and tags of a stack's resources."""

    prefix: str
    tags: Callable[[str], Mapping[str, pulumi.Input[str]]]
    """Name → tags of that resource."""


def subnet_cidr(vpc_cidr: str, zone: str) -> str:
    """Return a zone's part of the VPC. It depends only on the zone's letter, not on a list."""
    subnets = list(IPv4Network(vpc_cidr).subnets(prefixlen_diff=SUBNET_BITS))
    return str(subnets[ord(zone[-1]) - ord("a")])


def existing_network(site: Site) -> Network:
    """Return the subnets of the settings; the user manages their routes."""
    return Network(vpc_id=site.vpc_id, subnets=dict(site.subnets), ready=())


def make_network(
    site: Site, vpc_cidr: str, naming: Naming, opts: pulumi.ResourceOptions
) -> Network:
    """Create a VPC with a public subnet in every zone of ``site``."""
    network = ec2.Vpc(
        "vpc",
        cidr_block=vpc_cidr,
        enable_dns_support=True,
        enable_dns_hostnames=True,
        tags=naming.tags("vpc"),
        opts=opts,
    )
    gateway = ec2.InternetGateway(
        "internet-gateway", vpc_id=network.id, tags=naming.tags("internet-gateway"), opts=opts
    )
    table = ec2.RouteTable(
        "route-table", vpc_id=network.id, tags=naming.tags("route-table"), opts=opts
    )
    route = ec2.Route(
        "internet-route",
        route_table_id=table.id,
        destination_cidr_block=EVERYWHERE,
        gateway_id=gateway.id,
        opts=opts,
    )
    subnets: dict[str, pulumi.Input[str]] = {}
    ready: list[pulumi.Resource] = [route]
    for zone in site.zones:
        subnet = ec2.Subnet(
            f"subnet-{zone}",
            vpc_id=network.id,
            availability_zone=zone,
            cidr_block=subnet_cidr(vpc_cidr, zone),
            tags=naming.tags(f"subnet-{zone}"),
            opts=opts,
        )
        subnets[zone] = subnet.id
        ready.append(
            ec2.RouteTableAssociation(
                f"subnet-{zone}-routes", subnet_id=subnet.id, route_table_id=table.id, opts=opts
            )
        )
    return Network(vpc_id=network.id, subnets=subnets, ready=ready)


def make_security_group(
    network: Network, policy: Policy, naming: Naming, opts: pulumi.ResourceOptions
) -> tuple[ec2.SecurityGroup, Sequence[pulumi.Resource]]:
    """Render the table of ports (``infra/firewall.py``) as the machines' security group.

    Members have access by a reference to the group itself, not by address. Returns the group and
    its rules.
    """
    group = ec2.SecurityGroup(
        "security-group",
        name=naming.prefix,
        description=f"Machines of {naming.prefix}",
        vpc_id=network.vpc_id,
        tags=naming.tags("machines"),
        # EC2 cannot change the description: a new wording would replace the group.
        opts=pulumi.ResourceOptions.merge(
            opts, pulumi.ResourceOptions(ignore_changes=["description"])
        ),
    )
    rules: list[pulumi.Resource] = [
        vpc.SecurityGroupIngressRule(
            f"allow-{rule.name}",
            security_group_id=group.id,
            ip_protocol=rule.protocol,
            from_port=rule.from_port,
            to_port=rule.to_port,
            cidr_ipv4=rule.cidr,
            referenced_security_group_id=None if rule.cidr else group.id,
            description=rule.description,
            tags=naming.tags(rule.name),
            opts=opts,
        )
        for rule in security_group_rules(policy)
    ]
    # Pulumi's provider removes the default rule of a new group, which allows all outgoing traffic.
    out = vpc.SecurityGroupEgressRule(
        "allow-out",
        security_group_id=group.id,
        ip_protocol="-1",
        cidr_ipv4=EVERYWHERE,
        description="Packages, images, and whatever the tasks ask for",
        tags=naming.tags("out"),
        opts=opts,
    )
    return group, [*rules, out]
