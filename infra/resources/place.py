"""Keeps a stack's target and region in its state: a change would replace all machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, Resource

from infra.resources.provider import Props, Provider

if TYPE_CHECKING:
    import pulumi


_SETTINGS = {
    "target": "target",
    "region": "awsRegion",
    "account": "the account of the AWS credentials",
}
"""Input → the setting that it comes from."""


class PlaceProvider(Provider):
    """Rejects a change of the place; there is nothing to create outside the state."""

    def check(self, olds: Props, news: Props) -> CheckResult:
        """Pulumi calls this first, in previews too."""
        changed = [name for name in _SETTINGS if olds and olds[name] != news[name]]
        failures = [
            CheckFailure(
                name,
                f"{_SETTINGS[name]}: {news[name]!r} is not valid. The machines of this stack were"
                f" created with {olds[name]!r}. A change would replace them and delete the"
                f" database. Revert {_SETTINGS[name]}. Or back up the database, run `pulumi"
                " destroy`, and then `pulumi up` with the new value.",
            )
            for name in changed
            if name == "target" or "target" not in changed
        ]
        return CheckResult(news, failures)

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this once for a stack."""
        return CreateResult(props["target"], props)


class Place(Resource, module="machines", name="Place"):
    """The target of a stack; on AWS, its region and account too. They never change."""

    def __init__(
        self,
        name: str,
        *,
        target: str,
        region: str = "",
        account: str = "",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``account`` is the number of the AWS account."""
        props = {"target": target, "region": region, "account": account}
        super().__init__(PlaceProvider(), name, props, opts)
