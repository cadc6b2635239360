"""The target ``aws``: machines are EC2 instances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.images.registry import EMBEDDED
from infra.machines.aws import settings as aws_settings
from infra.machines.aws.settings import ECR, AwsSettings
from infra.machines.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network

    import pulumi

    from infra.machines.aws.preflight import Site
    from infra.machines.fleet import Fleet
    from infra.settings.problem import Problem
    from infra.stack.memory import Needs


class AwsTarget(Target[AwsSettings, "Site"]):
    """With ``registry: ecr``, it creates Amazon's registry too."""

    name = "aws"
    settings = AwsSettings
    registries = (EMBEDDED, ECR)
    provider_keys = {"awsRegion": "aws:region", "awsProfile": "aws:profile"}  # noqa: RUF012
    has_packages = True

    def conflicts(self, raw: Mapping[str, Any]) -> Iterable[Problem]:
        """See `TargetRules.conflicts`."""
        return aws_settings.conflicts(raw)

    def networks(self, raw: Mapping[str, Any]) -> Iterable[tuple[str, IPv4Network]]:
        """See `TargetRules.networks`."""
        return aws_settings.networks(raw)

    def preflight(self, stack: str, settings: AwsSettings, needed: Needs) -> Site:
        """Check that the account can run the machines."""
        from infra.machines.aws import preflight  # noqa: PLC0415 - boto3 is slow to import

        return preflight.check(preflight.Request(stack=stack, settings=settings, needed=needed))

    def machines(
        self,
        settings: AwsSettings,
        site: Site,
        *,
        cluster_id: pulumi.Output[str],
        needed: Needs,  # noqa: ARG002 - checked by `preflight`
        place: pulumi.Resource,
    ) -> Fleet:
        """Create the network and an instance for each machine."""
        from infra.machines.aws.machines import AwsMachines  # noqa: PLC0415 - slow to import

        return AwsMachines("machines", settings, site, cluster_id=cluster_id, place=place).fleet
