"""What a stack's running machines cannot take up, and what they take up at a price. No I/O.

An instance stays in its VPC and in its zone, and keeps its kind of addresses and its architecture;
its disk never shrinks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.machines.aws.inventory import CLUSTER_TAG, STACK_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from infra.machines.aws.inventory import Running, Vpc
    from infra.settings import Settings

_TYPES = {"manager": "awsManagerType", "worker": "awsWorkerType"}
_VOLUMES = {"manager": "awsManagerVolume", "worker": "awsWorkerVolume"}
"""Role → setting."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the settings say now of what cannot change."""

    settings: Settings
    vpc_id: str
    """Of the given subnets; empty where none is given, or where they are not known."""
    region: str
    architectures: Mapping[str, Sequence[str]]
    """Wanted instance type → the architectures that it supports."""
    disks: Mapping[str, int]
    """Volume → GiB, of the disks that the machines have now."""
    offered: Mapping[str, set[str]]
    """Zone → the wanted instance types that it has."""
    known_types: set[str]
    """The wanted instance types that the region has."""


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
        staying = _staying(machines, wish.settings)
        found = [
            *_of_the_network(staying, vpcs, wish),
            *_of_addresses(staying, wish.settings),
            *_of_types(staying, vpcs, wish),
            *_of_architectures(staying, wish),
            *_of_disks(staying, wish),
        ]
        stopped = list(_of_stopped(staying, wish))
        if not found and not stopped:
            return ()
        advice = [_advice()] if found else []
        said += [*stopped, *found, *advice, _where(stack, cluster)]
    return said


def _staying(machines: Sequence[Running], settings: Settings) -> Sequence[Running]:
    """Return the machines that the settings still ask for, in order."""
    counts = {"manager": settings.managers, "worker": settings.workers}
    staying = [machine for machine in machines if machine.number <= counts[machine.role]]
    return sorted(staying, key=lambda machine: (machine.role, machine.number))


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
            f" {', '.join(others)}, and a machine has its kind of addresses for life"
        )


def _of_types(machines: Sequence[Running], vpcs: Mapping[str, Vpc], wish: Wish) -> Iterator[str]:
    """Find types that a zone in use lacks.

    A machine changes its type in its zone. And the stack's own VPC has a subnet in a zone only as
    long as the zone has both types.
    """
    for role, instance_type in _given_types(wish.settings).items():
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


def _of_architectures(machines: Sequence[Running], wish: Wish) -> Iterator[str]:
    """Find types of another architecture: the provider replaces a machine for such a one."""
    for role, instance_type in _given_types(wish.settings).items():
        supported = wish.architectures.get(instance_type, ())
        others = [m for m in machines if m.role == role and m.architecture not in supported]
        if supported and others:
            yield (
                f"{_TYPES[role]}: {instance_type!r} given, which is {' or '.join(supported)};"
                f" {_names(others)} {'are' if len(others) > 1 else 'is'} {others[0].architecture},"
                " and a machine keeps its architecture: another one would take its place, without"
                " what is on its disk"
            )


def _of_disks(machines: Sequence[Running], wish: Wish) -> Iterator[str]:
    """Find disks that would shrink, which EC2 refuses in the middle of an update."""
    settings = wish.settings
    given = {"manager": settings.aws_manager_volume, "worker": settings.aws_worker_volume}
    for role, gib in given.items():
        larger = [m for m in machines if m.role == role and wish.disks.get(m.volume_id, 0) > gib]
        if larger:
            most = max(wish.disks[m.volume_id] for m in larger)
            yield (
                f"{_VOLUMES[role]}: {gib} given; the disk of {_names(larger)} has {most} GiB, and"
                " a disk does not shrink"
            )


def _of_stopped(machines: Sequence[Running], wish: Wish) -> Iterator[str]:
    stopped = [machine for machine in machines if machine.is_stopped]
    if stopped:
        ids = " ".join(machine.instance_id for machine in stopped)
        yield (
            f"{_names(stopped)} {'are' if len(stopped) > 1 else 'is'} stopped, and nothing can be"
            f" deployed there. Start: `aws ec2 start-instances --region {wish.region}"
            f" --instance-ids {ids}`; then run `pulumi up --refresh`, since a machine has another"
            " public address after a start"
        )


def notes(clusters: Mapping[str, Sequence[Running]], settings: Settings) -> Sequence[str]:
    """Return what a change costs that running machines take up: all of a role stop at once."""
    if len(clusters) != 1:
        return ()  # Another's of the same name is among them.
    (machines,) = clusters.values()
    return tuple(_of_stops(_staying(machines, settings), settings))


def _of_stops(machines: Sequence[Running], settings: Settings) -> Iterator[str]:
    lost = "All at once, and without draining: tasks that run there fail. Do it when nothing runs."
    moved = [m for m in machines if _is_replaced(m, settings)]
    if moved:
        given = str(settings.aws_spot_workers).lower()
        yield f"awsSpotWorkers: {given} given; {_names(moved)} are replaced for it. {lost}"
    for role, instance_type in _given_types(settings).items():
        changed = [
            m
            for m in machines
            if m.role == role and m.instance_type != instance_type and m not in moved
        ]
        if changed:
            web = " The pages and the database are away meanwhile." if role == "manager" else ""
            yield (
                f"{_TYPES[role]}: {instance_type} given; {_names(changed)} stop and start for it."
                f" {lost}{web}"
            )


def staying(machines: Sequence[Running], settings: Settings) -> frozenset[tuple[str, str]]:
    """Return cluster and name of the machines that are not replaced."""
    return frozenset((m.cluster, m.name) for m in machines if not _is_replaced(m, settings))


def _is_replaced(machine: Running, settings: Settings) -> bool:
    return machine.role == "worker" and machine.is_spot != settings.aws_spot_workers


def _given_types(settings: Settings) -> Mapping[str, str]:
    return {"manager": settings.aws_manager_type, "worker": settings.aws_worker_type}


def _names(machines: Sequence[Running]) -> str:
    return ", ".join(machine.name for machine in machines)


def _advice() -> str:
    return (
        "(Set back what was changed. Or back up the database, which goes with manager-1; then"
        " `pulumi destroy` and `pulumi up`.)"
    )


def _where(stack: str, cluster: str) -> str:
    return (
        f"(Running machines: those tagged {STACK_TAG}={stack}, {CLUSTER_TAG}={cluster}. If they"
        " are another's, name this stack differently.)"
    )
