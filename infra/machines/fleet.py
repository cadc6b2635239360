"""Result of every target: machines, and how the operator reaches their services."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pulumi

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.images.access import RegistryAccess

Record = dict[str, Any]
"""A ``remote.machine.Machine`` as plain values, for a resource's inputs."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """A target's machines. The first one is the first manager."""

    machines: Sequence[pulumi.Output[Record]]
    resources: Sequence[pulumi.Resource]
    """Resources that must exist before a machine can be reached, in the machines' order."""
    private_key: pulumi.Output[str]
    """The operator's SSH key, OpenSSH format."""
    operator_cidrs: pulumi.Input[Sequence[pulumi.Input[str]]]
    """Source addresses of the operator's packets, as the machines see them."""
    web_url: pulumi.Output[str]
    flower_url: pulumi.Output[str]
    mtu: pulumi.Output[int]
    """MTU of the machines' network, bytes: an overlay on it needs 50 less."""
    push_port: pulumi.Output[int] | None = None
    """Loopback port of this machine on which the first manager's registry is published; None if
    images are pushed through SSH."""
    logins: pulumi.Output[dict[str, Any]] | None = None
    """A ``remote.login.Login`` by machine's name, if not all accept ``private_key``."""
    release: dict[str, Any] | None = None
    """A ``swarm.release.Release`` if machines are kept when they leave the cluster."""
    registry: RegistryAccess | None = None
    """The target's own registry, from which the machines pull by themselves. None: the images are
    in a registry on the first manager."""
    platform: str = "linux/amd64"
    """The platform of the images, as Docker names it."""
    outputs: Mapping[str, pulumi.Input[Any]] = field(default_factory=dict[str, Any])
    """Outputs of the target, by the name of the stack's output."""

    @property
    def first_manager(self) -> pulumi.Output[Record]:
        """The machine that runs the database, the broker and the cluster's own registry."""
        return self.machines[0]

    def lives_on(self, *resources: pulumi.Resource) -> pulumi.ResourceOptions:
        """Return options of resources on the machines that are deleted with them."""
        first = None if self.release else self.resources[0]
        return pulumi.ResourceOptions(depends_on=list(resources), deleted_with=first)


def names(managers: int, workers: int) -> list[tuple[str, str, int]]:
    """Return (name, role, number) of every machine, managers first.

    Machines have names, not indices in a list: adding or removing one does not rename others.
    """
    return [
        (f"{role}-{number}", role, number)
        for role, count in (("manager", managers), ("worker", workers))
        for number in range(1, count + 1)
    ]
