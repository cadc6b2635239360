"""A loopback port of this machine that leads through SSH to a port of another machine.

Nothing is connected, and paramiko is not even imported, before the first client comes.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from typing import TYPE_CHECKING

from infra.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Channel(Protocol):
        """The far end: a paramiko channel, as far as it is used here."""

        def recv(self, nbytes: int, /) -> bytes:
            """Receive; nothing is the end."""
            ...

        def sendall(self, s: bytes, /) -> None:
            """Send all of it."""
            ...

        def shutdown_write(self) -> None:
            """Say that nothing more will be sent."""
            ...

        def close(self) -> None:
            """End it."""
            ...


LOOPBACK = "127.0.0.1"
PORTS = range(20_000, 30_000)
"""Where a port is chosen from: below those that systems give to outgoing connections by
themselves (Linux from 32768, IANA from 49152), so that it is free in a later run too."""
_ATTEMPTS = 200
_CHUNK_BYTES = 65_536


class TunnelError(UserError):
    """A loopback port cannot be had; says which one, why and what to do next."""


def choose_port() -> int:
    """Return a loopback port that is free now.

    Raises:
        TunnelError: none is.

    """
    for port in random.sample(PORTS, _ATTEMPTS):
        if is_free(port):
            return port
    msg = (
        f"none of {_ATTEMPTS} ports of {LOOPBACK} between {PORTS.start} and {PORTS.stop - 1} is"
        " free\nNext: see what listens there with `ss -ltn`, then run the same again"
    )
    raise TunnelError(msg)


def is_free(port: int) -> bool:
    """Tell whether a listener could take the port now."""
    try:
        _bound(port).close()
    except OSError:
        return False
    return True


def open_tunnel(
    port: int, reach: Callable[[], Channel], complain: Callable[[Exception], None]
) -> int:
    """Listen on a loopback port, and lead each client to a channel that ``reach`` opens for it.

    Port 0 is any free one. ``reach`` is called on a thread for each client. Where it raises, the
    error goes to ``complain`` and the client is disconnected. The tunnel ends with the process.
    Returns the port.

    Raises:
        TunnelError: the port is taken.

    """
    try:
        listener = _bound(port)
        listener.listen()
    except OSError as error:
        msg = f"port {port} of {LOOPBACK} cannot be used: {error.strerror}"
        raise TunnelError(msg) from error
    _start(_accept, listener, reach, complain)
    return int(listener.getsockname()[1])


def _bound(port: int) -> socket.socket:
    """Bind; connections of an earlier run that are still being ended do not count."""
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
    except OSError:
        listener.close()
        raise
    return listener


def _start(target: Callable[..., None], *args: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, daemon=True, name="tunnel")
    thread.start()
    return thread


def _accept(
    listener: socket.socket, reach: Callable[[], Channel], complain: Callable[[Exception], None]
) -> None:
    while True:
        client, _ = listener.accept()
        _start(_serve, client, reach, complain)


def _serve(
    client: socket.socket, reach: Callable[[], Channel], complain: Callable[[Exception], None]
) -> None:
    with client:
        try:
            channel = reach()
        except Exception as error:  # noqa: BLE001 - whatever it is, the user is to see it
            complain(error)
            return
        with contextlib.closing(channel):
            upward = _start(_send_up, client, channel)
            _send_down(channel, client)
            upward.join()


def _send_up(client: socket.socket, channel: Channel) -> None:
    """Carry what the client sends; its end is passed on, the answer may still be under way."""
    with contextlib.suppress(OSError, EOFError):
        while chunk := client.recv(_CHUNK_BYTES):
            channel.sendall(chunk)
        channel.shutdown_write()


def _send_down(channel: Channel, client: socket.socket) -> None:
    """Carry what comes back; a client that sends nothing more is not waited for after its end."""
    with contextlib.suppress(OSError, EOFError):
        while chunk := channel.recv(_CHUNK_BYTES):
            client.sendall(chunk)
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
