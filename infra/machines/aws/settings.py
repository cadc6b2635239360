"""The settings of ``target: aws``, and the checks that a type cannot express. No I/O."""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import AfterValidator, Field

from infra.settings import values
from infra.settings.model import Settings
from infra.settings.problem import invalid, missing, unused
from infra.settings.types import Boolean, Integer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.settings.problem import Problem

ECR = "ecr"
"""Amazon's registry, as a value of the setting ``registry``."""
DEFAULT_VPC = "10.80.0.0/16"
WIDEST_PREFIX = 16
NARROWEST_PREFIX = 24
"""EC2 accepts /16 to /28 for a VPC and for a subnet, which is a sixteenth of the VPC."""
INTERNET_PREFIX = 8
"""A network with fewer bits than this counts as the whole internet."""

_WHO = (
    "the IPv4 networks that may reach SSH and the web pages, your own address first, as `curl -4"
    " https://checkip.amazonaws.com` prints it, followed by /32"
)
_TOO_WIDE = (
    "a smaller network, since this is the whole internet or a large part of it; or set"
    " awsOpenToInternet to true as well"
)


def _instance_type(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", value):
        msg = "an EC2 instance type such as t3.large, or t4g.large for ARM"
        raise ValueError(msg)
    return value


def _region(value: str) -> str:
    if value and not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", value):
        msg = "an AWS region such as eu-central-1"
        raise ValueError(msg)
    return value


def _subnet_id(value: str) -> str:
    if not re.fullmatch(r"subnet-[0-9a-f]+", value):
        msg = "a subnet's ID such as subnet-0123456789abcdef0"
        raise ValueError(msg)
    return value


def _vpc_cidr(value: str) -> str:
    try:
        network = IPv4Network(value)
    except ValueError:
        network = None
    if network is None or not (
        network.is_private and WIDEST_PREFIX <= network.prefixlen <= NARROWEST_PREFIX
    ):
        msg = f"a private IPv4 network of /{WIDEST_PREFIX} to /{NARROWEST_PREFIX}: {DEFAULT_VPC}"
        raise ValueError(msg)
    return str(network)


InstanceType = Annotated[str, AfterValidator(_instance_type)]
VolumeGib = Annotated[Integer, Field(ge=20, le=16_384)]


class AwsSettings(Settings):
    """The settings of a stack with ``target: aws``."""

    aws_region: Annotated[str, AfterValidator(_region), Field(alias="awsRegion")] = ""
    aws_profile: Annotated[str, Field(alias="awsProfile")] = ""
    aws_manager_type: Annotated[InstanceType, Field(alias="awsManagerType")] = "t3.large"
    aws_worker_type: Annotated[InstanceType, Field(alias="awsWorkerType")] = "t3.medium"
    aws_manager_volume: Annotated[VolumeGib, Field(alias="awsManagerVolume")] = 40
    aws_worker_volume: Annotated[VolumeGib, Field(alias="awsWorkerVolume")] = 30
    aws_spot_workers: Annotated[Boolean, Field(alias="awsSpotWorkers")] = False
    aws_vpc_cidr: Annotated[str, AfterValidator(_vpc_cidr), Field(alias="awsVpcCidr")] = DEFAULT_VPC
    aws_subnet_ids: Annotated[
        tuple[Annotated[str, AfterValidator(_subnet_id)], ...], Field(alias="awsSubnetIds")
    ] = ()
    aws_public_addresses: Annotated[Boolean, Field(alias="awsPublicAddresses")] = True
    aws_open_to_internet: Annotated[Boolean, Field(alias="awsOpenToInternet")] = False
    aws_protect: Annotated[Boolean, Field(alias="awsProtect")] = False


def conflicts(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Find conflicting settings; ``raw`` maps a key of ``Pulumi.yaml`` to its value."""
    if not raw.get("awsRegion"):
        yield missing("awsRegion", "the AWS region of the machines, such as eu-central-1")
    yield from _access(raw.get("allowedCidrs") or (), raw.get("awsOpenToInternet"))
    if raw.get("awsSubnetIds") and raw.get("awsVpcCidr", DEFAULT_VPC) != DEFAULT_VPC:
        yield unused("awsVpcCidr", "With awsSubnetIds, the VPC is that of the subnets.")
    if not raw.get("awsSubnetIds") and str(raw.get("awsPublicAddresses", True)).lower() == "false":
        yield invalid(
            "awsPublicAddresses",
            raw["awsPublicAddresses"],
            "true: without awsSubnetIds, the machines are reached over the internet",
        )


def networks(raw: Mapping[str, Any]) -> Iterator[tuple[str, IPv4Network]]:
    """Return the network of the machines, if the stack creates it."""
    vpc = values.network(raw.get("awsVpcCidr", DEFAULT_VPC))
    if vpc and not raw.get("awsSubnetIds"):
        yield "it is awsVpcCidr, the network of the machines", vpc


def _access(cidrs: object, opened: object) -> Iterator[Problem]:
    if not cidrs:
        yield missing("allowedCidrs", _WHO)
    if not isinstance(cidrs, list | tuple) or str(opened).lower() == "true":
        return
    for position, cidr in enumerate(cast("list[object]", cidrs)):
        try:
            wide = IPv4Network(str(cidr)).prefixlen < INTERNET_PREFIX
        except ValueError:
            continue  # reported by the setting's own check
        if wide:
            yield invalid(f"allowedCidrs[{position}]", cidr, _TOO_WIDE)
