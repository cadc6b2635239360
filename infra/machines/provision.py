"""Chooses the target. From what this returns on, there is one code path for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.machines.existing import ExistingMachines
from infra.machines.local import LocalMachines

if TYPE_CHECKING:
    import pulumi

    from infra.machines.fleet import Fleet
    from infra.settings import Settings


def provision(settings: Settings, cluster_id: pulumi.Output[str]) -> Fleet:
    """Make or find the machines that the settings ask for."""
    match settings.target:
        case "local":
            return LocalMachines("machines", settings, cluster_id=cluster_id).fleet
        case "existing":
            return ExistingMachines("machines", settings, cluster_id=cluster_id).fleet
