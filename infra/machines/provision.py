"""Checks and creates a target's machines. After this, all targets share one code path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi

from infra.machines import target_packages
from infra.program_errors import shown_to_users
from infra.resources.place import Place

if TYPE_CHECKING:
    from infra.machines.fleet import Fleet
    from infra.machines.target import Site, Target
    from infra.settings.model import Settings
    from infra.stack.memory import Needs


def preflight(target: Target[Any, Any], settings: Settings, needed: Needs) -> Site:
    """Run the target's preflight checks.

    ``needed`` is the memory that the services reserve. This runs before the first resource: if it
    fails, nothing has been created.

    Raises:
        pulumi.RunError: lists every problem.

    """
    with shown_to_users():
        if target.has_packages:
            target_packages.use(target.name)
        site: Site = target.preflight(pulumi.get_stack(), settings, needed)
    for note in site.notes:
        pulumi.log.warn(note)
    return site


def provision(
    target: Target[Any, Any],
    settings: Settings,
    site: Site,
    cluster_id: pulumi.Output[str],
    needed: Needs,
) -> Fleet:
    """Create or find the machines of the settings; ``site`` is the result of `preflight`."""
    place = Place("place", target=target.name, region=site.region, account=site.account)
    return target.machines(settings, site, cluster_id=cluster_id, needed=needed, place=place)
