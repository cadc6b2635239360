"""Forwards a loopback port of this machine through SSH to a port of another machine.

It does not connect, nor import paramiko, before the first client connects.
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
        """The remote end: a paramiko channel, as far as it is used here."""

        def recv(self, nbytes: int, /) -> bytes:
            """Receive; empty at the end."""
            ...

        def sendall(self, s: bytes, /) -> None:
            """Send all bytes."""
            ...

        def shutdown_write(self) -> None:
            """Signal the end of sending."""
            ...

        def close(self) -> None:
            """Close the channel."""
            ...


LOOPBACK = "127.0.0.1"
PORTS = range(20_000, 30_000)
"""Range from which a port is chosen: below the ephemeral ports (Linux from 32768, IANA from 49152),
so that it is free in a later run too."""
_ATTEMPTS = 200
_CHUNK_BYTES = 65_536


class TunnelError(UserError):
    """A loopback port cannot be used; the message has the port, the cause and the next step."""


def choose_port() -> int:
    """Return a free loopback port.

    Raises:
        TunnelError: if none is free.

    """
    for port in random.sample(PORTS, _ATTEMPTS):
        if is_free(port):
            return port
    msg = (
        f"none of {_ATTEMPTS} ports of {LOOPBACK} between {PORTS.start} and {PORTS.stop - 1} is"
        " free\n"
        "Next: check what listens there with `ss -ltn`, then rerun the command"
    )
    raise TunnelError(msg)


def is_free(port: int) -> bool:
    """Return whether the port is free."""
    try:
        _bound(port).close()
    except OSError:
        return False
    return True


def open_tunnel(
    port: int, reach: Callable[[], Channel], complain: Callable[[Exception], None]
) -> int:
    """Listen on a loopback port, and connect each client to a channel that ``reach`` opens for it.

    Port 0 is any free one. ``reach`` is called on a thread for each client. If it raises an error,
    ``complain`` is called with it and the client is disconnected. The tunnel ends with the process.
    Returns the port.

    Raises:
        TunnelError: if the port is in use.

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
    """Bind, even if connections of an earlier run are still being closed."""
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
        except Exception as error:  # noqa: BLE001 - the user must see any error
            complain(error)
            return
        with contextlib.closing(channel):
            upward = _start(_send_up, client, channel)
            _send_down(channel, client)
            upward.join()


def _send_up(client: socket.socket, channel: Channel) -> None:
    """Forward the client's data; its end is forwarded, and the answer may still follow."""
    with contextlib.suppress(OSError, EOFError):
        while chunk := client.recv(_CHUNK_BYTES):
            channel.sendall(chunk)
        channel.shutdown_write()


def _send_down(channel: Channel, client: socket.socket) -> None:
    """Forward the answer; at its end, the client is disconnected even if it sends no more data."""
    with contextlib.suppress(OSError, EOFError):
        while chunk := channel.recv(_CHUNK_BYTES):
            client.sendall(chunk)
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
