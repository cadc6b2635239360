"""Settings that running instances make immutable, or that disrupt them. No I/O.

An instance cannot change its VPC, zone, kind of addresses or architecture, and its disk cannot
shrink.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.machines.aws.inventory import CLUSTER_TAG, STACK_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from infra.machines.aws.inventory import Running, Vpc
    from infra.machines.aws.settings import AwsSettings

_TYPES = {"manager": "awsManagerType", "worker": "awsWorkerType"}
_VOLUMES = {"manager": "awsManagerVolume", "worker": "awsWorkerVolume"}
"""Role → setting."""


@dataclass(frozen=True, kw_only=True)
class Desired:
    """Desired values of settings that running instances may not support."""

    settings: AwsSettings
    vpc_id: str
    """The VPC of the given subnets; empty if none is given, or if they are unknown."""
    region: str
    architectures: Mapping[str, Sequence[str]]
    """Requested instance type → the architectures that it supports."""
    disks: Mapping[str, int]
    """Volume → size in GiB of the machines' current disks."""
    offered: Mapping[str, set[str]]
    """Zone → the requested instance types that it has."""
    known_types: set[str]
    """The requested instance types that the region has."""


def problems(
    stack: str,
    clusters: Mapping[str, Sequence[Running]],
    vpcs: Mapping[str, Vpc],
    desired: Desired,
) -> Sequence[str]:
    """Return why no running cluster with that name can adopt the settings.

    If one of them can, it is taken for this stack's, so that another stack's cluster is not a
    problem.
    """
    found_problems: list[str] = []
    for cluster, machines in sorted(clusters.items()):
        staying = _staying(machines, desired.settings)
        found = [
            *_of_the_network(staying, vpcs, desired),
            *_of_addresses(staying, desired.settings),
            *_of_types(staying, vpcs, desired),
            *_of_architectures(staying, desired),
            *_of_disks(staying, desired),
        ]
        stopped = list(_of_stopped(staying, desired))
        if not found and not stopped:
            return ()
        advice = [_advice()] if found else []
        found_problems += [*stopped, *found, *advice, _where(stack, cluster)]
    return found_problems


def _staying(machines: Sequence[Running], settings: AwsSettings) -> Sequence[Running]:
    """Return the machines that the settings still include, in order."""
    counts = {"manager": settings.managers, "worker": settings.workers}
    staying = [machine for machine in machines if machine.number <= counts[machine.role]]
    return sorted(staying, key=lambda machine: (machine.role, machine.number))


def _of_the_network(
    machines: Sequence[Running], vpcs: Mapping[str, Vpc], desired: Desired
) -> Iterator[str]:
    settings = desired.settings
    for vpc_id in dict.fromkeys(machine.vpc_id for machine in machines):
        vpc = vpcs[vpc_id]
        where = "the stack's own VPC" if vpc.is_own else "the VPC of other subnets"
        runs = f"the running machines are in {where}, {vpc_id} ({vpc.cidr}), and cannot leave it."
        if settings.aws_subnet_ids:
            if desired.vpc_id and (vpc.is_own or vpc_id != desired.vpc_id):
                yield f"awsSubnetIds: the subnets are in {desired.vpc_id}, but {runs}"
        elif not vpc.is_own:
            yield f"awsSubnetIds: no subnet is set, but {runs}"
        elif vpc.cidr != settings.aws_vpc_cidr:
            yield f"awsVpcCidr: {settings.aws_vpc_cidr!r} is another network, but {runs}"


def _of_addresses(machines: Sequence[Running], settings: AwsSettings) -> Iterator[str]:
    wanted = settings.aws_public_addresses
    others = [m.name for m in machines if m.public is not None and m.public != wanted]
    if others:
        yield (
            f"awsPublicAddresses: it is {str(wanted).lower()} now, but it was"
            f" {str(not wanted).lower()} for {', '.join(others)}, and a machine cannot change its"
            " kind of addresses."
        )


def _of_types(
    machines: Sequence[Running], vpcs: Mapping[str, Vpc], desired: Desired
) -> Iterator[str]:
    """Report instance types that a zone in use does not have.

    A machine changes its type within its zone. The stack's own VPC has a subnet in a zone only
    while the zone has both types.
    """
    for role, instance_type in _given_types(desired.settings).items():
        lacking: dict[str, list[str]] = {}
        for machine in machines:
            concerned = machine.role == role or vpcs[machine.vpc_id].is_own
            if concerned and instance_type not in desired.offered.get(machine.zone, set()):
                lacking.setdefault(machine.zone, []).append(machine.name)
        for zone, there in lacking.items():
            if instance_type in desired.known_types:
                yield (
                    f"{_TYPES[role]}: {zone} does not have {instance_type!r}, and"
                    f" {', '.join(there)} cannot leave that zone."
                )


def _of_architectures(machines: Sequence[Running], desired: Desired) -> Iterator[str]:
    """Report types of another architecture, for which the provider would replace a machine."""
    for role, instance_type in _given_types(desired.settings).items():
        supported = desired.architectures.get(instance_type, ())
        others = [m for m in machines if m.role == role and m.architecture not in supported]
        if supported and others:
            yield (
                f"{_TYPES[role]}: {instance_type!r} is {' or '.join(supported)}, but"
                f" {_names(others)} {'are' if len(others) > 1 else 'is'} {others[0].architecture},"
                " and a machine cannot change its architecture: it would be replaced and the data"
                " on its disk lost."
            )


def _of_disks(machines: Sequence[Running], desired: Desired) -> Iterator[str]:
    """Report disks that would shrink, which EC2 rejects in the middle of an update."""
    settings = desired.settings
    given = {"manager": settings.aws_manager_volume, "worker": settings.aws_worker_volume}
    for role, gib in given.items():
        larger = [m for m in machines if m.role == role and desired.disks.get(m.volume_id, 0) > gib]
        if larger:
            most = max(desired.disks[m.volume_id] for m in larger)
            yield (
                f"{_VOLUMES[role]}: the disk of {_names(larger)} has {most} GiB and cannot shrink"
                f" to {gib} GiB."
            )


def _of_stopped(machines: Sequence[Running], desired: Desired) -> Iterator[str]:
    stopped = [machine for machine in machines if machine.is_stopped]
    if stopped:
        ids = " ".join(machine.instance_id for machine in stopped)
        yield (
            f"{_names(stopped)} {'are' if len(stopped) > 1 else 'is'} stopped; nothing can be"
            f" deployed there. Start: `aws ec2 start-instances --region {desired.region}"
            f" --instance-ids {ids}`; then run `pulumi up --refresh`, since a machine's public"
            " address changes when it starts."
        )


def notes(clusters: Mapping[str, Sequence[Running]], settings: AwsSettings) -> Sequence[str]:
    """Return notes on disruptive changes: all machines of a role stop at the same time."""
    if len(clusters) != 1:
        return ()  # They include those of another stack with the same name.
    (machines,) = clusters.values()
    return tuple(_of_stops(_staying(machines, settings), settings))


def _of_stops(machines: Sequence[Running], settings: AwsSettings) -> Iterator[str]:
    lost = "All at once, without draining: tasks that run there fail. Do this when no task runs."
    moved = [m for m in machines if _is_replaced(m, settings)]
    if moved:
        given = str(settings.aws_spot_workers).lower()
        yield f"awsSpotWorkers: with {given}, {_names(moved)} will be replaced. {lost}"
    for role, instance_type in _given_types(settings).items():
        changed = [
            m
            for m in machines
            if m.role == role and m.instance_type != instance_type and m not in moved
        ]
        if changed:
            web = (
                " The web pages and the database are unavailable meanwhile."
                if role == "manager"
                else ""
            )
            yield (
                f"{_TYPES[role]}: with {instance_type}, {_names(changed)} will stop and start."
                f" {lost}{web}"
            )


def staying(machines: Sequence[Running], settings: AwsSettings) -> frozenset[tuple[str, str]]:
    """Return the cluster and name of each machine that is not replaced."""
    return frozenset((m.cluster, m.name) for m in machines if not _is_replaced(m, settings))


def _is_replaced(machine: Running, settings: AwsSettings) -> bool:
    return machine.role == "worker" and machine.is_spot != settings.aws_spot_workers


def _given_types(settings: AwsSettings) -> Mapping[str, str]:
    return {"manager": settings.aws_manager_type, "worker": settings.aws_worker_type}


def _names(machines: Sequence[Running]) -> str:
    return ", ".join(machine.name for machine in machines)


def _advice() -> str:
    return (
        "(Revert the change. Or back up the database, which is deleted with manager-1; then"
        " `pulumi destroy` and `pulumi up`.)"
    )


def _where(stack: str, cluster: str) -> str:
    return (
        f"(Running machines: those tagged {STACK_TAG}={stack}, {CLUSTER_TAG}={cluster}. If they"
        " belong to another stack, rename this one.)"
    )
