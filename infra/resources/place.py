"""Where a stack's machines are, kept in its state: elsewhere, others would take their place."""

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
"""Input → what the user sets it by."""


class PlaceProvider(Provider):
    """Refuses a change of the place; there is nothing to create outside the state."""

    def check(self, olds: Props, news: Props) -> CheckResult:
        """Pulumi calls this first, in previews too."""
        changed = [name for name in _SETTINGS if olds and olds[name] != news[name]]
        failures = [
            CheckFailure(
                name,
                f"{_SETTINGS[name]}: {news[name]!r} given; the machines of this stack were made"
                f" with {olds[name]!r}. Others would take their place, without the database. Set"
                f" {_SETTINGS[name]} back. Or back up the database, run `pulumi destroy`, and"
                " then `pulumi up` with the new value.",
            )
            for name in changed
            if name == "target" or "target" not in changed
        ]
        return CheckResult(news, failures)

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this once for a stack."""
        return CreateResult(props["target"], props)


class Place(Resource, module="machines", name="Place"):
    """The target of a stack; on AWS, its region and account too. They last as long as the stack."""

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
