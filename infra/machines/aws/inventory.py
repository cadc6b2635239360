"""Lists a stack's machines on AWS. Independent of Pulumi.

Tags identify them. Before the first resource, only the stack's name identifies the cluster, so the
machines of another stack with that name, in the same account and region, are found too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STACK_TAG = "dairflow:stack"
CLUSTER_TAG = "dairflow:cluster"
NAME_PREFIX_CHARACTERS = 38
"""Limit for a role: IAM's 64 minus the random suffix that the provider adds."""
_THERE = ("pending", "running", "stopping", "stopped")


@dataclass(frozen=True, kw_only=True)
class Running:
    """A machine as EC2 describes it."""

    name: str
    role: str
    number: int
    cluster: str
    """The tag ``dairflow:cluster``; empty if it was removed."""
    vpc_id: str
    zone: str
    public: bool | None
    """Whether it was created with a public address; None if EC2 does not report it."""
    instance_id: str
    is_stopped: bool
    """It is stopped or stopping."""
    instance_type: str
    architecture: str
    is_spot: bool
    volume_id: str
    """The volume of its disk; empty if it has none."""
    has_profile: bool
    """Whether it has the instance profile that the program creates for ``registry: ecr``."""

    @classmethod
    def from_ec2(cls, stack: str, found: Mapping[str, Any]) -> Running | None:
        """Read an item of ``DescribeInstances``; None if its name is not one of the stack's."""
        ec2_tags = tags(found)
        name = re.fullmatch(
            rf"dairflow-{re.escape(stack)}-((manager|worker)-(\d+))", ec2_tags.get("Name", "")
        )
        if not name:
            return None
        return cls(
            name=name[1],
            role=name[2],
            number=int(name[3]),
            cluster=ec2_tags.get(CLUSTER_TAG, ""),
            vpc_id=found["VpcId"],
            zone=found["Placement"]["AvailabilityZone"],
            public=_made_public(found),
            instance_id=found["InstanceId"],
            is_stopped=found["State"]["Name"] in ("stopping", "stopped"),
            instance_type=found["InstanceType"],
            architecture=found["Architecture"],
            is_spot=found.get("InstanceLifecycle") == "spot",
            volume_id=_disk(found),
            has_profile=_profile(found).startswith(role_prefix(f"dairflow-{stack}")),
        )


@dataclass(frozen=True, kw_only=True)
class Vpc:
    """The VPC that machines run in."""

    vpc_id: str
    cidr: str
    is_own: bool
    """Whether the stack created it; false for the VPC of ``awsSubnetIds``."""


def tags(thing: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the tags of an EC2 object."""
    return {tag["Key"]: tag["Value"] for tag in thing.get("Tags", [])}


def find(ec2: Any, stack: str) -> Mapping[str, Sequence[Running]]:  # noqa: ANN401 - boto3's client
    """Return the machines of all stacks with that name, by their cluster's tag."""
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


def find_disks(ec2: Any, volume_ids: set[str]) -> Mapping[str, int]:  # noqa: ANN401
    """Return the sizes of disks, in GiB, by their IDs."""
    filters = [{"Name": "volume-id", "Values": sorted(volume_ids)}]
    pages = ec2.get_paginator("describe_volumes").paginate(Filters=filters)
    return {disk["VolumeId"]: int(disk["Size"]) for page in pages for disk in page["Volumes"]}


def role_prefix(prefix: str) -> str:
    """Return the prefix of the names of the nodes' role and instance profile."""
    return f"{prefix}-"[:NAME_PREFIX_CHARACTERS]


def _disk(found: Mapping[str, Any]) -> str:
    disks = {disk["DeviceName"]: disk for disk in found.get("BlockDeviceMappings", [])}
    root = disks.get(found.get("RootDeviceName", ""))
    return root["Ebs"]["VolumeId"] if root else ""


def _profile(found: Mapping[str, Any]) -> str:
    return found.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2]


def _made_public(found: Mapping[str, Any]) -> bool | None:
    """Return whether the first interface has a public address from launch.

    None if unknown: an Elastic IP, which an account owns, may have been added later, and a stopped
    machine never has a public address.
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
