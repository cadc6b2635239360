"""Selects the target. After this, all targets share one code path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from infra.program_errors import shown_to_users
from infra.resources.place import Place

if TYPE_CHECKING:
    from infra.machines.aws.preflight import Site
    from infra.machines.fleet import Fleet
    from infra.settings.model import Settings
    from infra.stack.memory import Needs


def preflight(settings: Settings, needed: Needs) -> Site | None:
    """Run the target's preflight checks; None if they find out nothing that `provision` uses.

    ``needed`` is the memory that the services reserve. Existing hosts are checked by their
    resource. This runs before the first resource: if it fails, nothing has been created.

    Raises:
        pulumi.RunError: lists every problem.

    """
    if settings.target == "aws":
        return _preflight_aws(settings, needed)
    if settings.target == "local":
        from infra.machines.local import memory  # noqa: PLC0415 - for this target only

        with shown_to_users():
            memory.check(needed)
    return None


def provision(
    settings: Settings, site: Site | None, cluster_id: pulumi.Output[str], needed: Needs
) -> Fleet:
    """Create or find the machines of the settings; ``site`` is the result of `preflight`."""
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


def _preflight_aws(settings: Settings, needed: Needs) -> Site:
    from infra.machines import target_packages  # noqa: PLC0415 - for this target alone

    with shown_to_users():
        target_packages.use("aws")
        from infra.machines.aws.preflight import Request, check  # noqa: PLC0415

        site = check(Request(stack=pulumi.get_stack(), settings=settings, needed=needed))
    for note in site.notes:
        pulumi.log.warn(note)
    return site
