"""Pushing images through SSH, where the registry's port is not published to the operator.

The program's own process listens (it lives as long as images are being pushed) and forwards to
the first manager. In a preview nothing listens; in an update with nothing to push nothing connects.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pulumi

from infra import registry
from infra.remote import tunnel
from infra.remote.machine import Machine
from infra.resources.push_port import PushPort
from infra.resources.ssh_pool import ssh_pool

if TYPE_CHECKING:
    from infra.machines.fleet import Fleet
    from infra.remote.tunnel import Channel


def push_tunnel(fleet: Fleet) -> pulumi.Output[int]:
    """Return the loopback port that leads to the first manager's registry.

    In an update it is known once something listens there.
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
            f"{error}. Images are pushed through it.\nNext: end the program that listens there"
            f" (`ss -ltnp 'sport = :{port}'` shows it), then run the same again; or run"
            " `pulumi up --refresh`, which takes another port"
        )
        raise pulumi.RunError(msg) from None


class _Reach:
    """Opens channels to the first manager's registry over one connection, made when needed."""

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
