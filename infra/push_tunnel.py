"""Pushes images through SSH if the registry's port is not published to the operator.

The program's own process, which runs while images are pushed, listens and forwards to the first
manager. It does not listen in a preview, and does not connect if there is nothing to push.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pulumi

from infra.images import registry
from infra.remote import tunnel
from infra.remote.machine import Machine
from infra.resources.push_port import PushPort
from infra.resources.ssh_pool import ssh_pool

if TYPE_CHECKING:
    from infra.machines.fleet import Fleet
    from infra.remote.tunnel import Channel


def push_tunnel(fleet: Fleet) -> pulumi.Output[int]:
    """Return the loopback port that is forwarded to the first manager's registry.

    In an update it is known when the tunnel listens.
    """
    chosen = PushPort("push-port")
    if pulumi.runtime.is_dry_run():
        return chosen.port
    known = pulumi.Output.all(
        port=chosen.port,
        machine=fleet.first_manager,
        private_key=fleet.private_key,
        logins=fleet.logins,
    )
    opened = known.apply(_open)
    return pulumi.Output.unsecret(opened)


def _open(known: dict[str, Any]) -> int:
    port = int(known["port"])
    try:
        return tunnel.open_tunnel(port, _Reach(known), _complain)
    except tunnel.TunnelError as error:
        msg = (
            f"{error}. Images are pushed through it.\n"
            f"Next: stop the program that listens there (`ss -ltnp 'sport = :{port}'` lists it),"
            " then rerun the command; or run `pulumi up --refresh`, which uses another port"
        )
        raise pulumi.RunError(msg) from None


class _Reach:
    """Opens channels to the first manager's registry over one connection, created on demand."""

    def __init__(self, known: dict[str, Any]) -> None:
        self._known = known
        self._lock = threading.Lock()
        self._pool: Any = None

    def __call__(self) -> Channel:
        with self._lock:
            self._pool = self._pool or ssh_pool(self._known)
        machine = Machine.from_dict(self._known["machine"])
        return self._pool.runner(machine).dial("127.0.0.1", registry.PORT)


def _complain(error: Exception) -> None:
    pulumi.log.error(f"An image could not be pushed through SSH.\n{error}")
