"""Checks that an AWS account can run the cluster, before the first resource.

All problems are reported together. If the credentials may not read the quotas, that is a note,
since the machines may fit. Independent of Pulumi.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.architecture import docker_name
from infra.errors import UserError
from infra.machines import target
from infra.machines.aws import inventory as aws_inventory
from infra.machines.aws import running as aws_running
from infra.stack import memory
from infra.stack.memory import MachineMemory, Needs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from infra.machines.aws.inventory import Running
    from infra.machines.aws.settings import AwsSettings

Client = Any
"""A boto3 client, which has no published types."""
Architecture = Literal["x86_64", "arm64"]

ON_DEMAND_VCPUS = "L-1216C47A"
SPOT_VCPUS = "L-34B43A08"
VPCS = "L-F678F1CE"
"""Codes of Service Quotas: vCPUs of running standard instances, of standard spot instances, and
VPCs."""
STANDARD_FAMILIES = frozenset({*"acdhimrtz", "im", "is"})
"""The families that the two quotas of vCPUs count: A, C, D, H, I (with Im and Is), M, R, T and Z.
Others that begin with these letters have their own quota: Inf, Trn, DL, HPC, Mac."""
CONFIG = Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard"})
"""Configuration of every client; seconds."""
_BY_DOCKER_NAME: Mapping[str, Architecture] = {"amd64": "x86_64", "arm64": "arm64"}


class AwsError(UserError):
    """The account cannot run the cluster; the message lists all problems."""


@dataclass(frozen=True, kw_only=True)
class Site(target.Site):
    """Region, zones and network of the machines; ``account`` is the AWS account's number."""

    zones: tuple[str, ...]
    """The zones that have every requested instance type, and a subnet if subnets are given."""
    architecture: Architecture
    vpc_id: str = ""
    """The VPC of the given subnets; empty if the stack creates its own VPC."""
    subnets: Mapping[str, str] = field(default_factory=dict[str, str])
    """Zone → given subnet."""
    has_profile: bool = False
    """Whether machines of the stack have the instance profile that ``registry: ecr`` gives them."""
    staying: frozenset[tuple[str, str]] = frozenset()
    """Cluster and name of the existing instances that are not replaced."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The requested machines. ``stack`` identifies this stack's own machines."""

    stack: str
    settings: AwsSettings
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


def check(request: Request) -> Site:
    """Check that the account can run the machines of ``request``.

    Raises:
        AwsError: lists every problem.

    """
    session, account = _session(request)
    preflight = _Preflight(request, session, account)
    try:
        site = preflight.site()
    except (BotoCoreError, ClientError) as error:
        msg = _failure([*preflight.problems, _words(request, error)])
        raise AwsError(msg) from error
    if preflight.problems:
        raise AwsError(_failure(preflight.problems))
    return site


def _session(request: Request) -> tuple[Any, str]:
    """Open a session with the credentials that any AWS tool would use; return its account too.

    Raises:
        AwsError: if there are no credentials, or AWS rejects them.

    """
    try:
        session: Any = boto3.Session(
            profile_name=request.settings.aws_profile or None, region_name=request.region
        )
        identity = session.client("sts", config=CONFIG).get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        problem = (
            f"AWS rejects the credentials: {error}. Make `aws sts get-caller-identity` work first:"
            " set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws"
            " configure` or `aws sso login`."
        )
        raise AwsError(_failure([problem])) from error
    return session, str(identity["Account"])


class _Preflight:
    """Reads the account and collects problems."""

    def __init__(self, request: Request, session: Any, account: str) -> None:  # noqa: ANN401
        self._request = request
        self._account = account
        self._session = session
        self._ec2: Client = session.client("ec2", config=CONFIG)
        self.problems: list[str] = []
        self._notes: list[str] = []

    def site(self) -> Site:
        """Return the site of the machines; ``problems`` may be filled afterwards."""
        described = self._described_types()
        architecture = self._architecture(described)
        self._check_memory(described)
        offered = self._offered(set(described))
        zones = self._zones(offered, set(described))
        vpc_id, subnets = self._given_subnets(zones, set(described))
        running = self._check_running(offered, described, vpc_id)
        self._check_quotas(described)
        return Site(
            region=self._request.region,
            zones=tuple(sorted(subnets)) if subnets else zones,
            architecture=architecture,
            account=self._account,
            vpc_id=vpc_id,
            subnets=subnets,
            has_profile=any(machine.has_profile for machine in running),
            staying=aws_running.staying(running, self._request.settings),
            notes=tuple(self._notes),
        )

    def _described_types(self) -> Mapping[str, Any]:
        """Describe the requested instance types that the region has."""
        described = self._describe(set(self._request.types.values()))
        for key, given in self._request.types.items():
            if given not in described:
                self.problems.append(
                    f"{key}: {self._request.region} has no instance type {given!r}."
                )
        return described

    def _describe(self, types: set[str]) -> Mapping[str, Any]:
        """Return EC2's descriptions of instance types, without unknown types."""
        if not types:
            return {}
        filters = [{"Name": "instance-type", "Values": sorted(types)}]
        pages = self._ec2.get_paginator("describe_instance_types").paginate(Filters=filters)
        return {found["InstanceType"]: found for page in pages for found in page["InstanceTypes"]}

    def _architecture(self, described: Mapping[str, Any]) -> Architecture:
        own = _BY_DOCKER_NAME.get(docker_name(self._request.build_machine.lower()))
        for key, given in self._request.types.items():
            if given not in described:
                continue
            supported = described[given]["ProcessorInfo"]["SupportedArchitectures"]
            if own not in supported:
                self.problems.append(
                    f"{key}: {given!r} is {' or '.join(supported)}, but the images are built on"
                    f" this machine, which is {own or self._request.build_machine}. Choose a type"
                    " of this architecture, or run Pulumi on a machine of the other architecture."
                )
        return own or "x86_64"

    def _check_memory(self, described: Mapping[str, Any]) -> None:
        """Compare what the services reserve with what machines of the types have."""
        settings = self._request.settings
        counts = {"awsManagerType": settings.managers, "awsWorkerType": settings.workers}
        if not set(self._request.types.values()) <= set(described):
            return
        managers, workers = (
            [
                MachineMemory(
                    name=f"{key} {given!r}",
                    size=described[given]["MemoryInfo"]["SizeInMiB"] * 1024**2,
                    count=counts[key],
                )
            ]
            for key, given in self._request.types.items()
        )
        self.problems += memory.problems(self._request.needed, managers, workers)

    def _offered(self, types: set[str]) -> Mapping[str, set[str]]:
        """Return which of ``types`` each zone of the region has, without local zones."""
        if not types:
            return {}
        answer = self._ec2.describe_instance_type_offerings(
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": sorted(types)}],
        )
        pattern = re.compile(rf"{re.escape(self._request.region)}[a-p]\Z")
        offered: dict[str, set[str]] = {}
        for offer in answer["InstanceTypeOfferings"]:
            if pattern.match(offer["Location"]):
                offered.setdefault(offer["Location"], set()).add(offer["InstanceType"])
        return offered

    def _zones(self, offered: Mapping[str, set[str]], types: set[str]) -> tuple[str, ...]:
        """Return the zones that have every type."""
        zones = tuple(sorted(zone for zone, has in offered.items() if has == types))
        if types and not zones:
            self.problems.append(
                f"No zone of {self._request.region} has {_both(types)}. Choose other types with"
                " `pulumi config set awsManagerType` and awsWorkerType."
            )
        return zones

    def _given_subnets(self, zones: tuple[str, ...], types: set[str]) -> tuple[str, dict[str, str]]:
        """Return the VPC of the given subnets and each zone's subnet; empty if none is given."""
        wanted = list(self._request.settings.aws_subnet_ids)
        if not wanted:
            return "", {}
        filters = [{"Name": "subnet-id", "Values": wanted}]
        found = self._ec2.describe_subnets(Filters=filters)["Subnets"]
        known = {subnet["SubnetId"]: subnet for subnet in found}
        subnets: dict[str, str] = {}
        for subnet_id in wanted:
            if subnet_id not in known:
                self.problems.append(
                    f"awsSubnetIds: {self._request.region} has no subnet {subnet_id!r}."
                )
                continue
            zone = known[subnet_id]["AvailabilityZone"]
            if zone in subnets:
                self.problems.append(
                    f"awsSubnetIds: {subnets[zone]!r} and {subnet_id!r} are both in {zone}. Give"
                    " one subnet for each zone."
                )
            elif zones and zone not in zones:
                self.problems.append(
                    f"awsSubnetIds: {subnet_id!r} is in {zone}, which does not have {_both(types)}."
                )
            subnets[zone] = subnet_id
        vpcs = sorted({subnet["VpcId"] for subnet in found})
        if len(vpcs) > 1:
            self.problems.append(
                f"awsSubnetIds: the subnets are in {len(vpcs)} VPCs ({', '.join(vpcs)}). Give"
                " subnets of one VPC."
            )
        return (vpcs[0] if vpcs else ""), subnets

    def _check_running(
        self, offered: Mapping[str, set[str]], described: Mapping[str, Any], vpc_id: str
    ) -> Sequence[Running]:
        """Report settings that the stack's running machines cannot adopt; return these machines."""
        stack, settings = self._request.stack, self._request.settings
        clusters = aws_inventory.find(self._ec2, stack)
        if not clusters:
            return ()
        machines = [machine for cluster in clusters.values() for machine in cluster]
        ids = {machine.vpc_id for machine in machines}
        vpcs = aws_inventory.find_vpcs(self._ec2, stack, ids)
        desired = aws_running.Desired(
            settings=settings,
            vpc_id=vpc_id,
            region=self._request.region,
            architectures={
                name: one["ProcessorInfo"]["SupportedArchitectures"]
                for name, one in described.items()
            },
            disks=aws_inventory.find_disks(self._ec2, {machine.volume_id for machine in machines}),
            offered=offered,
            known_types=set(described),
        )
        self.problems += aws_running.problems(stack, clusters, vpcs, desired)
        self._notes += aws_running.notes(clusters, settings)
        return machines

    def _check_quotas(self, described: Mapping[str, Any]) -> None:
        for quota in (*self._quotas_of_vcpus(described), *self._quotas_of_vpcs()):
            limit = self._limit(quota)
            if limit is not None and quota.used + quota.wanted > limit:
                self.problems.append(
                    f"{quota.what}: the quota in {self._request.region} is {limit:g}, {quota.used}"
                    f" are in use by others, and this cluster needs {quota.wanted}. Request an"
                    " increase: `aws service-quotas request-service-quota-increase --service-code"
                    f" {quota.service} --quota-code {quota.code} --desired-value"
                    f" {quota.used + quota.wanted}`."
                )

    def _quotas_of_vcpus(self, described: Mapping[str, Any]) -> Iterator[_Quota]:
        """Return the quotas of vCPUs, without those of unknown types, whose vCPUs are unknown."""
        settings = self._request.settings
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
        if not self._request.settings.aws_subnet_ids:
            vpcs = self._ec2.describe_vpcs()["Vpcs"]
            others = [vpc for vpc in vpcs if not self._is_ours(vpc)]
            yield _Quota("vpc", VPCS, "VPCs", len(others), 1)

    def _running_vcpus(self) -> tuple[int, int]:
        """Return the vCPUs of other instances that count for the quotas: on demand, and spot.

        An instance counts with its type's vCPUs, regardless of its CPU options.
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
        return aws_inventory.tags(thing).get(aws_inventory.STACK_TAG) == self._request.stack

    def _limit(self, quota: _Quota) -> float | None:
        try:
            client: Client = self._session.client("service-quotas", config=CONFIG)
            answer = client.get_service_quota(ServiceCode=quota.service, QuotaCode=quota.code)
            return float(answer["Quota"]["Value"])
        except (BotoCoreError, ClientError) as error:
            self._notes.append(
                f"The quota of {quota.what} could not be read ({error}); it is not checked."
            )
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
    """Return whether the family, the letters before the generation's number, is a standard one."""
    family = re.match(r"[a-z]+(?=\d)", instance_type)
    return family is not None and family[0] in STANDARD_FAMILIES


def _both(types: set[str]) -> str:
    return f"{'both ' if len(types) > 1 else ''}{' and '.join(sorted(types))}"


def _words(request: Request, error: BotoCoreError | ClientError) -> str:
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    if code in ("UnauthorizedOperation", "AccessDenied"):
        return (
            f"the credentials lack permission for the preflight checks: {error}. docs/aws.md has"
            " the policy."
        )
    if code in ("AuthFailure", "OptInRequired"):
        return (
            f"{request.region} is not enabled for this account: {error}. Enable the region in the"
            " account's settings, or choose another one with `pulumi config set awsRegion`."
        )
    return f"AWS did not answer in {request.region}: {error}. Is the region's name right?"


def _failure(problems: list[str]) -> str:
    lines = "\n".join(f"  {problem}" for problem in problems)
    return f"AWS preflight checks failed:\n{lines}\nNothing was created or changed."
