"""The operator's SSH access to the machines that the project makes, as a Pulumi resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import CreateResult, Resource, UpdateResult

from infra.remote.machine import Machine
from infra.resources.provider import Props, Provider, say
from infra.resources.ssh_pool import rate_limit_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.resources.keys import SshKey


class OperatorAccessProvider(Provider):
    """Makes the machines accept the operator's key, and none of the operator's former ones."""

    compared = ("machines", "private_key")

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this first; the key may already have been rotated in interrupted runs."""
        _admit(props, {})
        return CreateResult("operator-access", props)

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this after a rotation, and for other machines.

        A replaced machine may begin with a former key: its first boot's data are kept (AWS).
        """
        _admit(news, olds)
        return UpdateResult(news)


class OperatorAccess(Resource, module="keys", name="OperatorAccess"):
    """Access with ``private_key``: what uses it waits until every machine accepts it."""

    private_key: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        machines: Sequence[pulumi.Input[Mapping[str, Any]]],
        key: SshKey,
        connections_per_second: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``key`` is the operator's; ``machines`` are made with its public half."""
        props = {
            "machines": list(machines),
            "private_key": pulumi.Output.secret(key.private_key),
            "former_keys": pulumi.Output.secret(key.former_keys),
            "connections_per_second": connections_per_second,
        }
        super().__init__(OperatorAccessProvider(), name, props, opts)


def _admit(props: Props, olds: Props) -> None:
    from infra.remote.key_rotation import KeyRotation

    former = props.get("former_keys")
    if not former:
        return
    rotation = KeyRotation(
        private_key=props["private_key"],
        former=former,
        rate_limit=rate_limit_of(props),
        report=say,
    )
    records: list[Props] = props["machines"]
    names = {record["name"] for record in records}
    leaving = [record for record in olds.get("machines", ()) if record["name"] not in names]
    rotation.run(
        [Machine.from_dict(record) for record in records],
        [Machine.from_dict(record) for record in leaving],
    )
