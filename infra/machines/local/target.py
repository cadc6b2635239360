"""The target ``local``: machines are containers on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.machines.addresses import CANDIDATE_NETWORKS
from infra.machines.target import Site, Target
from infra.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network

    import pulumi

    from infra.machines.fleet import Fleet
    from infra.stack.memory import Needs


class LocalTarget(Target[Settings, Site]):
    """It has no settings of its own."""

    name = "local"
    settings = Settings
    unused = {  # noqa: RUF012 - never changed
        "allowedCidrs": "With target local, the pages are published only on this machine's"
        " 127.0.0.1."
    }

    def networks(self, raw: Mapping[str, Any]) -> Iterable[tuple[str, IPv4Network]]:  # noqa: ARG002
        """See `TargetRules.networks`."""
        return [("the nodes of target local are there", CANDIDATE_NETWORKS)]

    def preflight(self, stack: str, settings: Settings, needed: Needs) -> Site:  # noqa: ARG002
        """Compare this machine's memory with what the services reserve."""
        from infra.machines.local import memory  # noqa: PLC0415 - for this target only

        memory.check(needed)
        return Site()

    def machines(
        self,
        settings: Settings,
        site: Site,  # noqa: ARG002
        *,
        cluster_id: pulumi.Output[str],
        needed: Needs,  # noqa: ARG002
        place: pulumi.Resource,  # noqa: ARG002
    ) -> Fleet:
        """Create a container for each machine."""
        from infra.machines.local.machines import LocalMachines  # noqa: PLC0415 - see the interface

        return LocalMachines("machines", settings, cluster_id=cluster_id).fleet
