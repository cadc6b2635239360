"""Chooses the target. From what this returns on, there is one code path for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

if TYPE_CHECKING:
    from infra.machines.fleet import Fleet
    from infra.settings import Settings


def provision(settings: Settings, cluster_id: pulumi.Output[str]) -> Fleet:
    """Make or find the machines that the settings ask for."""
    match settings.target:
        case "local":
            from infra.machines.local import LocalMachines  # noqa: PLC0415 - for this target alone

            return LocalMachines("machines", settings, cluster_id=cluster_id).fleet
        case "aws":
            return _aws(settings, cluster_id)
        case "existing":
            from infra.machines.existing import ExistingMachines  # noqa: PLC0415

            return ExistingMachines("machines", settings, cluster_id=cluster_id).fleet


def _aws(settings: Settings, cluster_id: pulumi.Output[str]) -> Fleet:
    """Ask the account whether it can carry the machines; then make them."""
    from infra.machines import target_packages  # noqa: PLC0415 - for this target alone

    try:
        target_packages.use("aws")
        from infra.machines.aws import AwsMachines  # noqa: PLC0415
        from infra.machines.aws_preflight import AwsError, Wanted, look  # noqa: PLC0415
    except target_packages.TargetPackagesError as error:
        raise pulumi.RunError(str(error)) from None
    try:
        site = look(Wanted(stack=pulumi.get_stack(), settings=settings))
    except AwsError as error:
        raise pulumi.RunError(str(error)) from None
    for note in site.notes:
        pulumi.log.warn(note)
    return AwsMachines("machines", settings, site, cluster_id=cluster_id).fleet
