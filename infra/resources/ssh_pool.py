"""Connects to machines with the logins of a resource's inputs."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import pulumi

from infra.remote.login import Login
from infra.remote.rate_limit import CONNECTIONS_PER_SECOND, shared_rate_limit
from infra.remote.runner import UNREACHABLE_SECONDS, RemoteError
from infra.swarm import ownership

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from infra.remote.machine import Machine
    from infra.remote.pool import SshPool
    from infra.remote.rate_limit import RateLimit
    from infra.resources.provider import Props


_T = TypeVar("_T")
NODES_AT_A_TIME = 16
READ_CONNECT_SECONDS = UNREACHABLE_SECONDS
"""How long a machine may be unreachable on a refresh, before that counts as drift."""


def login_inputs(
    private_key: pulumi.Input[str], logins: pulumi.Input[Mapping[str, Any]] | None
) -> dict[str, Any]:
    """Return a resource's inputs for SSH logins; see `ssh_pool`."""
    props = {"private_key": pulumi.Output.secret(private_key)}
    return props if logins is None else {**props, "logins": pulumi.Output.secret(logins)}


def logins_of(props: Props) -> dict[str, Login]:
    """Return the logins by machine's name; empty if one key is for all machines."""
    logins: Props = props.get("logins") or {}
    return {name: Login.from_dict(login) for name, login in logins.items()}


def rate_limit_of(props: Props) -> RateLimit:
    """Return the rate limit of the input ``connections_per_second``, shared by all resources.

    A change of the input does not change the resource: it applies to later operations.
    """
    return shared_rate_limit(props.get("connections_per_second") or CONNECTIONS_PER_SECOND)


def ssh_pool(props: Props) -> SshPool:
    """Return a pool that logs in with the inputs ``private_key`` and ``logins``."""
    from infra.remote.pool import SshPool

    return SshPool(
        props.get("private_key") or "",
        logins=logins_of(props),
        rate_limit=rate_limit_of(props),
    )


def side_by_side(act: Callable[[Machine], _T], machines: Sequence[Machine]) -> list[_T]:
    """Act on machines in parallel; the first error is raised after all have ended."""
    with ThreadPoolExecutor(NODES_AT_A_TIME) as threads:
        begun = [threads.submit(act, machine) for machine in machines]
    return [one.result() for one in begun]


def owner_on(machines: Sequence[Machine], pool: SshPool, kind: str) -> str:
    """Return the owner of the object of a kind, from the first reachable manager; empty if none."""
    for machine in machines:
        if machine.role == "manager":
            with contextlib.suppress(RemoteError):
                return ownership.owner_of(pool.runner(machine, timeout=READ_CONNECT_SECONDS), kind)
    return ""
