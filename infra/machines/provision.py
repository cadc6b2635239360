"""Selects the target. After this, all targets share one code path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from infra.program_errors import shown_to_users
from infra.resources.place import Place

if TYPE_CHECKING:
    from infra.machines.aws.preflight import Site
    from infra.machines.fleet import Fleet
    from infra.settings import Settings


def preflight(settings: Settings) -> Site | None:
    """Run the target's preflight checks; None if the target has none.

    This runs before the first resource: if it fails, nothing has been created.

    Raises:
        pulumi.RunError: lists every problem.

    """
    return _preflight_aws(settings) if settings.target == "aws" else None


def provision(settings: Settings, site: Site | None, cluster_id: pulumi.Output[str]) -> Fleet:
    """Create or find the machines of the settings; ``site`` is the result of `preflight`."""
    if site is not None:
        from infra.machines.aws.machines import AwsMachines  # noqa: PLC0415 - for this target alone

        place = Place("place", target=settings.target, region=site.region, account=site.account)
        return AwsMachines("machines", settings, site, cluster_id=cluster_id, place=place).fleet
    Place("place", target=settings.target)
    if settings.target == "existing":
        from infra.machines.existing.machines import ExistingMachines  # noqa: PLC0415

        return ExistingMachines("machines", settings, cluster_id=cluster_id).fleet
    from infra.machines.local.machines import LocalMachines  # noqa: PLC0415

    return LocalMachines("machines", settings, cluster_id=cluster_id).fleet


def _preflight_aws(settings: Settings) -> Site:
    from infra.machines import target_packages  # noqa: PLC0415 - for this target alone

    with shown_to_users():
        target_packages.use("aws")
        from infra.machines.aws.preflight import Request, check  # noqa: PLC0415

        site = check(Request(stack=pulumi.get_stack(), settings=settings))
    for note in site.notes:
        pulumi.log.warn(note)
    return site
