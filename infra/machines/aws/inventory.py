"""A stack's machines on AWS, as the account lists them. Knows no Pulumi.

They are known by their tags. The stack's name is all that is known of the cluster before the first
resource, so those of another stack of that name, in the same account and region, are found too.
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
"""Of a role: what IAM's 64 leave besides the provider's own random end."""
_THERE = ("pending", "running", "stopping", "stopped")


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
    instance_id: str
    is_stopped: bool
    """It runs no more, or is about to stop."""
    instance_type: str
    architecture: str
    is_spot: bool
    volume_id: str
    """Of its disk; empty where it has none."""
    has_profile: bool
    """Whether it has the instance profile that the program makes for ``registry: ecr``."""

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
    """Made by the stack, not given by ``awsSubnetIds``."""


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


def find_disks(ec2: Any, volume_ids: set[str]) -> Mapping[str, int]:  # noqa: ANN401
    """Return the sizes of disks, in GiB, by their IDs."""
    filters = [{"Name": "volume-id", "Values": sorted(volume_ids)}]
    pages = ec2.get_paginator("describe_volumes").paginate(Filters=filters)
    return {disk["VolumeId"]: int(disk["Size"]) for page in pages for disk in page["Volumes"]}


def role_prefix(prefix: str) -> str:
    """Return what the names of the nodes' role and instance profile begin with."""
    return f"{prefix}-"[:NAME_PREFIX_CHARACTERS]


def _disk(found: Mapping[str, Any]) -> str:
    disks = {disk["DeviceName"]: disk for disk in found.get("BlockDeviceMappings", [])}
    root = disks.get(found.get("RootDeviceName", ""))
    return root["Ebs"]["VolumeId"] if root else ""


def _profile(found: Mapping[str, Any]) -> str:
    return found.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2]


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
