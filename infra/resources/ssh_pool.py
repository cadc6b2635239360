"""Connections with what a resource's inputs say about signing in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi

from infra.remote.login import Login
from infra.remote.pace import CONNECTIONS_PER_SECOND, shared_pace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.remote.pace import Pace
    from infra.remote.pool import SshPool
    from infra.resources.provider import Props


READ_CONNECT_SECONDS = 20.0
"""How long a machine may be silent on a refresh, where its silence shows as drift."""


def sign_in(
    private_key: pulumi.Input[str], logins: pulumi.Input[Mapping[str, Any]] | None
) -> dict[str, Any]:
    """Return the inputs by which a resource signs in; see `ssh_pool`."""
    props = {"private_key": pulumi.Output.secret(private_key)}
    return props if logins is None else {**props, "logins": pulumi.Output.secret(logins)}


def logins_of(props: Props) -> dict[str, Login]:
    """Return the sign-ins by machine's name; none where one key is for all machines."""
    logins: Props = props.get("logins") or {}
    return {name: Login.from_dict(login) for name, login in logins.items()}


def pace_of(props: Props) -> Pace:
    """Return the pace that the input ``connections_per_second`` says, one for all resources.

    A change of the input is no change of the resource: it counts from the next one on.
    """
    return shared_pace(props.get("connections_per_second") or CONNECTIONS_PER_SECOND)


def ssh_pool(props: Props) -> SshPool:
    """Return a pool that signs in as the inputs ``private_key`` and ``logins`` say."""
    from infra.remote.pool import SshPool

    return SshPool(
        props.get("private_key") or "",
        logins=logins_of(props),
        pace=pace_of(props),
    )
