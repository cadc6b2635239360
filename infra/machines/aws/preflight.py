"""What the ``aws`` target needs of an account, asked before the first resource. Knows no Pulumi.

Every objection is told at once. Where the credentials may not read the quotas, that is a note: the
machines may well fit.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.errors import UserError
from infra.machines.aws import inventory as aws_inventory
from infra.machines.aws import running as aws_running
from infra.stack import memory
from infra.stack.memory import MachineMemory, Needs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from infra.machines.aws.inventory import Running
    from infra.settings import Settings

Client = Any
"""A boto3 client, which has no types of its own."""
Architecture = Literal["x86_64", "arm64"]

ON_DEMAND_VCPUS = "L-1216C47A"
SPOT_VCPUS = "L-34B43A08"
VPCS = "L-F678F1CE"
"""Service Quotas' codes: vCPUs of running standard instances, of standard spot ones, and VPCs."""
STANDARD_FAMILIES = frozenset({*"acdhimrtz", "im", "is"})
"""The families that the two quotas of vCPUs count: A, C, D, H, I (with Im and Is), M, R, T and Z.
Others that begin so have their own: Inf, Trn, DL, HPC, Mac."""
CONFIG = Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard"})
"""Of every client; seconds."""
_ARCHITECTURES: Mapping[str, Architecture] = {
    "x86_64": "x86_64",
    "amd64": "x86_64",
    "arm64": "arm64",
    "aarch64": "arm64",
}


class AwsError(UserError):
    """The account cannot carry the cluster; the text says everything that is in the way."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where the machines go."""

    region: str
    zones: tuple[str, ...]
    """The zones that have every wanted instance type, and a subnet where subnets are given."""
    architecture: Architecture
    account: str
    """The number of the AWS account."""
    vpc_id: str = ""
    """Of the given subnets; empty where the VPC is the stack's own."""
    subnets: Mapping[str, str] = field(default_factory=dict[str, str])
    """Zone → subnet, of the given ones."""
    has_profile: bool = False
    """Whether machines of the stack have the instance profile that ``registry: ecr`` gives them."""
    staying: frozenset[tuple[str, str]] = frozenset()
    """Cluster and name of the instances that exist and are not replaced."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to run. ``stack`` tells this stack's own machines from others."""

    stack: str
    settings: Settings
    build_machine: str = field(default_factory=lambda: platform.machine())  # noqa: PLW0108
    """The architecture of the machine that builds the images, as the system names it."""
    needed: Needs = field(default_factory=Needs)
    """The memory that the services reserve."""

    @property
    def types(self) -> Mapping[str, str]:
        """Setting → instance type."""
        settings = self.settings
        return {
            "awsManagerType": settings.aws_manager_type,
            "awsWorkerType": settings.aws_worker_type,
        }

    @property
    def region(self) -> str:
        """The region of the settings."""
        return self.settings.aws_region


def look(wanted: Wanted) -> Site:
    """Ask the account for everything that could stand in the way of ``wanted``.

    Raises:
        AwsError: with every objection.

    """
    session, account = _session(wanted)
    look_around = _Look(wanted, session, account)
    try:
        site = look_around.site()
    except (BotoCoreError, ClientError) as error:
        msg = _refusal([*look_around.objections, _words(wanted, error)])
        raise AwsError(msg) from error
    if look_around.objections:
        raise AwsError(_refusal(look_around.objections))
    return site


def _session(wanted: Wanted) -> tuple[Any, str]:
    """Sign in; the credentials are those that any AWS tool would use. Return the account too.

    Raises:
        AwsError: there are none, or they are refused.

    """
    try:
        session: Any = boto3.Session(
            profile_name=wanted.settings.aws_profile or None, region_name=wanted.region
        )
        identity = session.client("sts", config=CONFIG).get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        objection = (
            f"AWS does not take the credentials: {error}. `aws sts get-caller-identity` is to"
            " work first: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or"
            " run `aws configure` or `aws sso login`."
        )
        raise AwsError(_refusal([objection])) from error
    return session, str(identity["Account"])


class _Look:
    """Collects objections while it asks."""

    def __init__(self, wanted: Wanted, session: Any, account: str) -> None:  # noqa: ANN401
        self._wanted = wanted
        self._account = account
        self._session = session
        self._ec2: Client = session.client("ec2", config=CONFIG)
        self.objections: list[str] = []
        self._notes: list[str] = []

    def site(self) -> Site:
        """Return where the machines go; objections may have been collected meanwhile."""
        described = self._described_types()
        architecture = self._architecture(described)
        self._check_memory(described)
        offered = self._offered(set(described))
        zones = self._zones(offered, set(described))
        vpc_id, subnets = self._given_subnets(zones, set(described))
        running = self._check_running(offered, described, vpc_id)
        self._check_quotas(described)
        return Site(
            region=self._wanted.region,
            zones=tuple(sorted(subnets)) if subnets else zones,
            architecture=architecture,
            account=self._account,
            vpc_id=vpc_id,
            subnets=subnets,
            has_profile=any(machine.has_profile for machine in running),
            staying=aws_running.staying(running, self._wanted.settings),
            notes=tuple(self._notes),
        )

    def _described_types(self) -> Mapping[str, Any]:
        """Describe the wanted instance types that the region has."""
        described = self._describe(set(self._wanted.types.values()))
        for key, given in self._wanted.types.items():
            if given not in described:
                self.objections.append(
                    f"{key}: {given!r} given; {self._wanted.region} has no such instance type"
                )
        return described

    def _describe(self, types: set[str]) -> Mapping[str, Any]:
        """Return what EC2 tells of instance types; those that it does not know are left out."""
        if not types:
            return {}
        filters = [{"Name": "instance-type", "Values": sorted(types)}]
        pages = self._ec2.get_paginator("describe_instance_types").paginate(Filters=filters)
        return {found["InstanceType"]: found for page in pages for found in page["InstanceTypes"]}

    def _architecture(self, described: Mapping[str, Any]) -> Architecture:
        own = _ARCHITECTURES.get(self._wanted.build_machine.lower())
        for key, given in self._wanted.types.items():
            if given not in described:
                continue
            supported = described[given]["ProcessorInfo"]["SupportedArchitectures"]
            if own not in supported:
                self.objections.append(
                    f"{key}: {given!r} given; it is {' or '.join(supported)}, and the images are"
                    f" built on this machine, which is {own or self._wanted.build_machine}: choose"
                    " a type of this architecture, or run Pulumi on a machine of the other one"
                )
        return own or "x86_64"

    def _check_memory(self, described: Mapping[str, Any]) -> None:
        """Compare what the services reserve with what machines of the types have."""
        settings = self._wanted.settings
        counts = {"awsManagerType": settings.managers, "awsWorkerType": settings.workers}
        if not set(self._wanted.types.values()) <= set(described):
            return
        managers, workers = (
            [
                MachineMemory(
                    name=f"{key}: {given!r} given",
                    size=described[given]["MemoryInfo"]["SizeInMiB"] * 1024**2,
                    count=counts[key],
                )
            ]
            for key, given in self._wanted.types.items()
        )
        self.objections += memory.objections(self._wanted.needed, managers, workers)

    def _offered(self, types: set[str]) -> Mapping[str, set[str]]:
        """Return what the region's zones have of ``types``, local zones left out."""
        if not types:
            return {}
        answer = self._ec2.describe_instance_type_offerings(
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": sorted(types)}],
        )
        pattern = re.compile(rf"{re.escape(self._wanted.region)}[a-p]\Z")
        offered: dict[str, set[str]] = {}
        for offer in answer["InstanceTypeOfferings"]:
            if pattern.match(offer["Location"]):
                offered.setdefault(offer["Location"], set()).add(offer["InstanceType"])
        return offered

    def _zones(self, offered: Mapping[str, set[str]], types: set[str]) -> tuple[str, ...]:
        """Return the zones that have every type."""
        zones = tuple(sorted(zone for zone, has in offered.items() if has == types))
        if types and not zones:
            self.objections.append(
                f"no zone of {self._wanted.region} has {_both(types)}: choose"
                " other types with `pulumi config set awsManagerType` and awsWorkerType"
            )
        return zones

    def _given_subnets(self, zones: tuple[str, ...], types: set[str]) -> tuple[str, dict[str, str]]:
        """Return the given subnets' VPC, and each zone's subnet; nothing where none is given."""
        wanted = list(self._wanted.settings.aws_subnet_ids)
        if not wanted:
            return "", {}
        filters = [{"Name": "subnet-id", "Values": wanted}]
        found = self._ec2.describe_subnets(Filters=filters)["Subnets"]
        known = {subnet["SubnetId"]: subnet for subnet in found}
        subnets: dict[str, str] = {}
        for subnet_id in wanted:
            if subnet_id not in known:
                self.objections.append(
                    f"awsSubnetIds: {subnet_id!r} given; {self._wanted.region} has no such subnet"
                )
                continue
            zone = known[subnet_id]["AvailabilityZone"]
            if zone in subnets:
                self.objections.append(
                    f"awsSubnetIds: {subnet_id!r} given; {subnets[zone]!r} is in {zone} as well:"
                    " one subnet a zone"
                )
            elif zones and zone not in zones:
                self.objections.append(
                    f"awsSubnetIds: {subnet_id!r} given; its zone {zone} does not have"
                    f" {_both(types)}"
                )
            subnets[zone] = subnet_id
        vpcs = sorted({subnet["VpcId"] for subnet in found})
        if len(vpcs) > 1:
            self.objections.append(
                f"awsSubnetIds: they are in {len(vpcs)} VPCs ({', '.join(vpcs)}); valid: one VPC"
            )
        return (vpcs[0] if vpcs else ""), subnets

    def _check_running(
        self, offered: Mapping[str, set[str]], described: Mapping[str, Any], vpc_id: str
    ) -> Sequence[Running]:
        """Refuse what the stack's existing machines cannot take up, and return these machines."""
        stack, settings = self._wanted.stack, self._wanted.settings
        clusters = aws_inventory.find(self._ec2, stack)
        if not clusters:
            return ()
        machines = [machine for cluster in clusters.values() for machine in cluster]
        ids = {machine.vpc_id for machine in machines}
        vpcs = aws_inventory.find_vpcs(self._ec2, stack, ids)
        wish = aws_running.Wish(
            settings=settings,
            vpc_id=vpc_id,
            region=self._wanted.region,
            architectures={
                name: one["ProcessorInfo"]["SupportedArchitectures"]
                for name, one in described.items()
            },
            disks=aws_inventory.find_disks(self._ec2, {machine.volume_id for machine in machines}),
            offered=offered,
            known_types=set(described),
        )
        self.objections += aws_running.objections(stack, clusters, vpcs, wish)
        self._notes += aws_running.notes(clusters, settings)
        return machines

    def _check_quotas(self, described: Mapping[str, Any]) -> None:
        for quota in (*self._quotas_of_vcpus(described), *self._quotas_of_vpcs()):
            limit = self._limit(quota)
            if limit is not None and quota.used + quota.wanted > limit:
                self.objections.append(
                    f"{quota.what}: the quota in {self._wanted.region} is {limit:g}, {quota.used}"
                    f" are in use by others, and this cluster takes {quota.wanted}. Ask for more:"
                    " `aws service-quotas request-service-quota-increase --service-code"
                    f" {quota.service} --quota-code {quota.code} --desired-value"
                    f" {quota.used + quota.wanted}`"
                )

    def _quotas_of_vcpus(self, described: Mapping[str, Any]) -> Iterator[_Quota]:
        """Return those whose types are known: of another one, nobody knows the vCPUs."""
        settings = self._wanted.settings
        manager, worker = settings.aws_manager_type, settings.aws_worker_type
        wanted = {name: count * _standard(name) for name, count in _vcpus(described).items()}
        on_demand, spot = self._running_vcpus()
        if settings.aws_spot_workers and worker in wanted:
            workers = wanted[worker] * settings.workers
            yield _Quota("ec2", SPOT_VCPUS, "vCPUs of spot instances", spot, workers)
        lasting = {manager: settings.managers}
        if not settings.aws_spot_workers:
            lasting[worker] = lasting.get(worker, 0) + settings.workers
        if lasting.keys() <= wanted.keys():
            vcpus = sum(wanted[name] * count for name, count in lasting.items())
            yield _Quota("ec2", ON_DEMAND_VCPUS, "vCPUs of on-demand instances", on_demand, vcpus)

    def _quotas_of_vpcs(self) -> Iterator[_Quota]:
        if not self._wanted.settings.aws_subnet_ids:
            vpcs = self._ec2.describe_vpcs()["Vpcs"]
            others = [vpc for vpc in vpcs if not self._is_ours(vpc)]
            yield _Quota("vpc", VPCS, "VPCs", len(others), 1)

    def _running_vcpus(self) -> tuple[int, int]:
        """Count the vCPUs of others' instances that the quotas count: on demand, and spot.

        An instance counts with its type's vCPUs, whatever its own CPU options say.
        """
        states = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
        pages = self._ec2.get_paginator("describe_instances").paginate(Filters=states)
        others = [
            instance
            for page in pages
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
            if not self._is_ours(instance) and _standard(instance["InstanceType"])
        ]
        types = {instance["InstanceType"] for instance in others}
        vcpus = _vcpus(self._describe(types))
        counts = {True: 0, False: 0}
        for instance in others:
            is_spot = instance.get("InstanceLifecycle") == "spot"
            counts[is_spot] += vcpus.get(instance["InstanceType"], 0)
        return counts[False], counts[True]

    def _is_ours(self, thing: Mapping[str, Any]) -> bool:
        return aws_inventory.tags(thing).get(aws_inventory.STACK_TAG) == self._wanted.stack

    def _limit(self, quota: _Quota) -> float | None:
        try:
            client: Client = self._session.client("service-quotas", config=CONFIG)
            answer = client.get_service_quota(ServiceCode=quota.service, QuotaCode=quota.code)
            return float(answer["Quota"]["Value"])
        except (BotoCoreError, ClientError) as error:
            self._notes.append(f"The quota of {quota.what} could not be read ({error}); going on.")
            return None


@dataclass(frozen=True)
class _Quota:
    service: str
    code: str
    what: str
    used: int
    wanted: int


def _vcpus(described: Mapping[str, Any]) -> Mapping[str, int]:
    return {name: int(one["VCpuInfo"]["DefaultVCpus"]) for name, one in described.items()}


def _standard(instance_type: str) -> bool:
    """Tell by the family's name: the letters before the generation's number."""
    family = re.match(r"[a-z]+(?=\d)", instance_type)
    return family is not None and family[0] in STANDARD_FAMILIES


def _both(types: set[str]) -> str:
    return f"{'both ' if len(types) > 1 else ''}{' and '.join(sorted(types))}"


def _words(wanted: Wanted, error: BotoCoreError | ClientError) -> str:
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    if code in ("UnauthorizedOperation", "AccessDenied"):
        return f"the credentials may not look around: {error}. docs/aws.md has the policy."
    if code in ("AuthFailure", "OptInRequired"):
        return (
            f"{wanted.region} is not open to this account: {error}. Enable the region in the"
            " account's settings, or choose another one with `pulumi config set awsRegion`."
        )
    return f"AWS did not answer in {wanted.region}: {error}. Is the region's name right?"


def _refusal(objections: list[str]) -> str:
    lines = "\n".join(f"  {objection}" for objection in objections)
    return f"AWS cannot carry this cluster:\n{lines}\nNothing was created or changed."
