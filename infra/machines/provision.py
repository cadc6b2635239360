"""Chooses the target. From what this returns on, there is one code path for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from infra.program_errors import shown_to_users
from infra.resources.place import Place

if TYPE_CHECKING:
    from infra.machines.aws.preflight import Site
    from infra.machines.fleet import Fleet
    from infra.settings import Settings
    from infra.stack.memory import Needs


def look_around(settings: Settings, needed: Needs) -> Site | None:
    """Ask for what could stand in the machines' way; None where nothing is asked of the target.

    ``needed`` is the memory that the services reserve. Existing hosts are asked by their resource.

    This comes before the first resource: where it fails, nothing was made.

    Raises:
        pulumi.RunError: with every objection.

    """
    if settings.target == "aws":
        return _look_around_aws(settings, needed)
    if settings.target == "local":
        from infra.machines.local import memory  # noqa: PLC0415 - for this target alone

        with shown_to_users():
            memory.check(needed)
    return None


def provision(
    settings: Settings, site: Site | None, cluster_id: pulumi.Output[str], needed: Needs
) -> Fleet:
    """Make or find the machines that the settings ask for; ``site`` is what was found before."""
    if site is not None:
        from infra.machines.aws.machines import AwsMachines  # noqa: PLC0415 - for this target alone

        place = Place("place", target=settings.target, region=site.region, account=site.account)
        return AwsMachines("machines", settings, site, cluster_id=cluster_id, place=place).fleet
    Place("place", target=settings.target)
    if settings.target == "existing":
        from infra.machines.existing.machines import ExistingMachines  # noqa: PLC0415

        return ExistingMachines("machines", settings, cluster_id=cluster_id, needed=needed).fleet
    from infra.machines.local.machines import LocalMachines  # noqa: PLC0415

    return LocalMachines("machines", settings, cluster_id=cluster_id).fleet


def _look_around_aws(settings: Settings, needed: Needs) -> Site:
    from infra.machines import target_packages  # noqa: PLC0415 - for this target alone

    with shown_to_users():
        target_packages.use("aws")
        from infra.machines.aws.preflight import Wanted, look  # noqa: PLC0415

        site = look(Wanted(stack=pulumi.get_stack(), settings=settings, needed=needed))
    for note in site.notes:
        pulumi.log.warn(note)
    return site
