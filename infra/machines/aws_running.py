"""What a stack's running machines hold fast: an instance stays in its VPC and in its zone.

They are known by their tags. The stack's name is all that is known of the cluster before the first
resource, so those of another stack of that name, in the same account and region, are found too.
Knows no Pulumi.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from infra.settings import Settings

STACK_TAG = "dairflow:stack"
CLUSTER_TAG = "dairflow:cluster"
_THERE = ("pending", "running", "stopping", "stopped")
_TYPES = {"manager": "awsManagerType", "worker": "awsWorkerType"}
"""Role → setting."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """One machine, as EC2 knows it."""

    name: str
    role: str
    number: int
    cluster: str
    """The tag ``dairflow:cluster``; empty where somebody took it away."""
    vpc_id: str
    zone: str
    public: bool | None
    """Whether it was made with a public address; None where EC2 does not tell."""

    @classmethod
    def from_ec2(cls, stack: str, found: Mapping[str, Any]) -> Running | None:
        """Read one of ``DescribeInstances``; None where its name is none of the stack's."""
        told = tags(found)
        name = re.fullmatch(
            rf"dairflow-{re.escape(stack)}-((manager|worker)-(\d+))", told.get("Name", "")
        )
        if not name:
            return None
        return cls(
            name=name[1],
            role=name[2],
            number=int(name[3]),
            cluster=told.get(CLUSTER_TAG, ""),
            vpc_id=found["VpcId"],
            zone=found["Placement"]["AvailabilityZone"],
            public=_made_public(found),
        )


@dataclass(frozen=True, kw_only=True)
class Vpc:
    """The VPC that machines run in."""

    vpc_id: str
    cidr: str
    is_own: bool
    """Made by the stack, not given by ``awsSubnetIds``."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the settings say now of what cannot change."""

    settings: Settings
    vpc_id: str
    """Of the given subnets; empty where none is given, or where they are not known."""
    offered: Mapping[str, set[str]]
    """Zone → the wanted instance types that it has."""
    known_types: set[str]
    """The wanted instance types that the region has."""


def tags(thing: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the tags of anything of EC2's."""
    return {tag["Key"]: tag["Value"] for tag in thing.get("Tags", [])}


def find(ec2: Any, stack: str) -> Mapping[str, Sequence[Running]]:  # noqa: ANN401 - boto3's client
    """Return the machines of the stacks of that name, by their cluster's tag."""
    filters = [
        {"Name": f"tag:{STACK_TAG}", "Values": [stack]},
        {"Name": "instance-state-name", "Values": list(_THERE)},
    ]
    clusters: dict[str, list[Running]] = {}
    for page in ec2.get_paginator("describe_instances").paginate(Filters=filters):
        for reservation in page["Reservations"]:
            for found in reservation["Instances"]:
                machine = Running.from_ec2(stack, found)
                if machine:
                    clusters.setdefault(machine.cluster, []).append(machine)
    return clusters


def find_vpcs(ec2: Any, stack: str, vpc_ids: set[str]) -> Mapping[str, Vpc]:  # noqa: ANN401
    """Return VPCs by their IDs."""
    filters = [{"Name": "vpc-id", "Values": sorted(vpc_ids)}]
    return {
        vpc["VpcId"]: Vpc(
            vpc_id=vpc["VpcId"], cidr=vpc["CidrBlock"], is_own=tags(vpc).get(STACK_TAG) == stack
        )
        for vpc in ec2.describe_vpcs(Filters=filters)["Vpcs"]
    }


def objections(
    stack: str,
    clusters: Mapping[str, Sequence[Running]],
    vpcs: Mapping[str, Vpc],
    wish: Wish,
) -> Sequence[str]:
    """Return what of the settings no cluster of that name could take up while it runs.

    As long as one of them fits, it is taken for this stack's: nobody is stopped by another's.
    """
    said: list[str] = []
    for cluster, machines in sorted(clusters.items()):
        staying = sorted(
            (machine for machine in machines if _stays(machine, wish.settings)),
            key=lambda machine: (machine.role, machine.number),
        )
        found = [
            *_of_the_network(staying, vpcs, wish),
            *_of_addresses(staying, wish.settings),
            *_of_types(staying, vpcs, wish),
        ]
        if not found:
            return ()
        said += [*found, _advice(stack, cluster)]
    return said


def _stays(machine: Running, settings: Settings) -> bool:
    counts = {"manager": settings.managers, "worker": settings.workers}
    return machine.number <= counts[machine.role]


def _of_the_network(
    machines: Sequence[Running], vpcs: Mapping[str, Vpc], wish: Wish
) -> Iterator[str]:
    settings = wish.settings
    for vpc_id in dict.fromkeys(machine.vpc_id for machine in machines):
        vpc = vpcs[vpc_id]
        where = "the stack's own VPC" if vpc.is_own else "the VPC of other subnets"
        runs = f"the running machines are in {where}, {vpc_id} ({vpc.cidr}), and cannot leave it"
        if settings.aws_subnet_ids:
            if wish.vpc_id and (vpc.is_own or vpc_id != wish.vpc_id):
                yield f"awsSubnetIds: subnets of {wish.vpc_id} given; {runs}"
        elif not vpc.is_own:
            yield f"awsSubnetIds: nothing given; {runs}"
        elif vpc.cidr != settings.aws_vpc_cidr:
            yield f"awsVpcCidr: {settings.aws_vpc_cidr!r} given; {runs}"


def _of_addresses(machines: Sequence[Running], settings: Settings) -> Iterator[str]:
    wanted = settings.aws_public_addresses
    others = [m.name for m in machines if m.public is not None and m.public != wanted]
    if others:
        yield (
            f"awsPublicAddresses: {str(wanted).lower()} given; it was {str(not wanted).lower()} for"
            f" {', '.join(others)}: a machine has its addresses for life, and every one would be"
            " replaced, also manager-1 with the database"
        )


def _of_types(machines: Sequence[Running], vpcs: Mapping[str, Vpc], wish: Wish) -> Iterator[str]:
    """Find types that a zone in use lacks.

    A machine changes its type in its zone. And the stack's own VPC has a subnet in a zone only as
    long as the zone has both types.
    """
    given = {
        "manager": wish.settings.aws_manager_type,
        "worker": wish.settings.aws_worker_type,
    }
    for role, instance_type in given.items():
        lacking: dict[str, list[str]] = {}
        for machine in machines:
            concerned = machine.role == role or vpcs[machine.vpc_id].is_own
            if concerned and instance_type not in wish.offered.get(machine.zone, set()):
                lacking.setdefault(machine.zone, []).append(machine.name)
        for zone, there in lacking.items():
            if instance_type in wish.known_types:
                yield (
                    f"{_TYPES[role]}: {instance_type!r} given; {zone} does not have it, and"
                    f" {', '.join(there)} cannot leave that zone"
                )


def _advice(stack: str, cluster: str) -> str:
    return (
        f"(Running machines: those tagged {STACK_TAG}={stack}, {CLUSTER_TAG}={cluster}. Set back"
        " what was changed. Or back up the database, which goes with manager-1; then"
        " `pulumi destroy` and `pulumi up`. If they are another's, name this stack differently.)"
    )


def _made_public(found: Mapping[str, Any]) -> bool | None:
    """Tell by the first interface: an Elastic IP, whose owner is an account, says nothing.

    A stopped machine has no public address in any case.
    """
    if found["State"]["Name"] != "running":
        return None
    association: Mapping[str, Any] | None = next(
        (
            interface.get("Association")
            for interface in found["NetworkInterfaces"]
            if interface["Attachment"]["DeviceIndex"] == 0
        ),
        None,
    )
    if not association:
        return False
    return True if association.get("IpOwnerId") == "amazon" else None
