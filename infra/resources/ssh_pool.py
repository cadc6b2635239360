"""Connections with what a resource's inputs say about signing in."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import pulumi

from infra.remote.login import Login
from infra.remote.pace import CONNECTIONS_PER_SECOND, shared_pace
from infra.remote.runner import RemoteError
from infra.swarm import ownership

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from infra.remote.machine import Machine
    from infra.remote.pace import Pace
    from infra.remote.pool import SshPool
    from infra.resources.provider import Props


_T = TypeVar("_T")
NODES_AT_A_TIME = 16
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


def side_by_side(act: Callable[[Machine], _T], machines: Sequence[Machine]) -> list[_T]:
    """Act on machines, some at a time; the first error is raised when all have ended."""
    with ThreadPoolExecutor(NODES_AT_A_TIME) as threads:
        begun = [threads.submit(act, machine) for machine in machines]
    return [one.result() for one in begun]


def owner_on(machines: Sequence[Machine], pool: SshPool, kind: str) -> str:
    """Return who owns what is of a kind, by the first manager that answers; empty if none does."""
    for machine in machines:
        if machine.role == "manager":
            with contextlib.suppress(RemoteError):
                return ownership.owner_of(pool.runner(machine, timeout=READ_CONNECT_SECONDS), kind)
    return ""
