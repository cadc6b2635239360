"""The target ``existing``: machines are hosts that the user can already reach by SSH."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.machines.existing import settings as existing_settings
from infra.machines.existing.settings import ExistingSettings
from infra.machines.target import Site, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network

    import pulumi

    from infra.machines.fleet import Fleet
    from infra.settings.problem import Problem
    from infra.stack.memory import Needs

_COUNTED = "With target existing, the roles of the hosts are counted."


class ExistingTarget(Target[ExistingSettings, Site]):
    """The hosts are checked by their resource, because only it reads and claims them."""

    name = "existing"
    settings = ExistingSettings
    unused = {"managers": _COUNTED, "workers": _COUNTED}  # noqa: RUF012 - never changed

    def conflicts(self, raw: Mapping[str, Any]) -> Iterable[Problem]:
        """See `TargetRules.conflicts`."""
        return existing_settings.conflicts(raw)

    def networks(self, raw: Mapping[str, Any]) -> Iterable[tuple[str, IPv4Network]]:
        """See `TargetRules.networks`."""
        return existing_settings.networks(raw)

    def nodes(self, raw: Mapping[str, Any]) -> tuple[int, int]:
        """Count the hosts of each role."""
        return existing_settings.nodes(raw)

    def preflight(self, stack: str, settings: ExistingSettings, needed: Needs) -> Site:  # noqa: ARG002
        """Find nothing out yet."""
        return Site()

    def machines(
        self,
        settings: ExistingSettings,
        site: Site,  # noqa: ARG002
        *,
        cluster_id: pulumi.Output[str],
        needed: Needs,
        place: pulumi.Resource,  # noqa: ARG002
    ) -> Fleet:
        """Check and claim the hosts."""
        from infra.machines.existing.machines import ExistingMachines  # noqa: PLC0415 - see Target

        return ExistingMachines("machines", settings, cluster_id=cluster_id, needed=needed).fleet
