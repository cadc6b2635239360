"""SSH servers for the hosts of a world, in this process, each on an address of its own.

A host that boots first says nothing, then resets connections, then serves. The network's round
trip is added to what comes in: a client that waits for an answer waits that much longer.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import shlex
import socket
import struct
import time
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, Self

import asyncssh

from benchmarks.simulator.commands import Request, Shell
from benchmarks.simulator.model import Refusal
from infra.remote.keys import generate_key_pair
from infra.remote.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from benchmarks.simulator.model import Host, Timing, World
    from infra.remote.keys import KeyPair

PORT = 2022
_FIRST_ADDRESS = IPv4Address("127.64.0.1") + os.getpid() % 8192 * 1024
"""A thousand addresses of loopback a process, so that several run at the same time."""
_LAST_ACK_OFFSET = 56
"""Where `struct tcp_info` of linux/tcp.h has tcpi_last_ack_recv: milliseconds ago."""
_SILENT_SHARE = 0.5
"""How much of its boot a host says nothing; afterwards it resets connections until it is up."""


@dataclass
class Traffic:
    """What came in, at all hosts together; times are of `time.monotonic`."""

    attempts: list[float] = field(default_factory=list[float])
    """When each connection was opened, those among them that were not served."""
    served: collections.Counter[str] = field(default_factory=collections.Counter[str])
    """Connections that got as far as SSH, by host."""
    commands: collections.Counter[str] = field(default_factory=collections.Counter[str])
    """Commands by their first line."""
    failures: list[str] = field(default_factory=list[str])
    """What hosts refused."""
    open_peak: int = 0

    def peak_per_second(self) -> int:
        """Return the most connections that were opened in any one second."""
        recent, peak = collections.deque[float](), 0
        for moment in sorted(self.attempts):
            recent.append(moment)
            while moment - recent[0] >= 1:
                recent.popleft()
            peak = max(peak, len(recent))
        return peak

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "attempts": len(self.attempts),
            "attempts_per_second_at_peak": self.peak_per_second(),
            "connections": self.served.total(),
            "hosts_connected_to": len(self.served),
            "connections_open_at_peak": self.open_peak,
            "commands": dict(self.commands),
            "failures": self.failures,
        }


class Servers:
    """The SSH servers of a world's hosts; an asynchronous context manager that closes them."""

    def __init__(self, world: World, timing: Timing, operator: KeyPair) -> None:
        """Only ``operator`` may log in, as root."""
        self.traffic = Traffic()
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._timing = timing
        self._operator = asyncssh.import_public_key(operator.public)
        self._hosts = list(world.hosts.values())
        self._keys = {host.name: generate_key_pair() for host in self._hosts}
        self._tasks: list[asyncio.Task[None]] = []
        self._open: dict[str, asyncio.Server | asyncssh.SSHAcceptor] = {}

    @property
    def machines(self) -> list[Machine]:
        """The hosts as the project's settings would have them, in the world's order."""
        return [
            Machine(
                name=host.name,
                role="manager" if host.name.startswith("manager") else "worker",
                address=str(_FIRST_ADDRESS + number),
                port=PORT,
                host_key=self._keys[host.name].public,
                private_address=host.address,
            )
            for number, host in enumerate(self._hosts)
        ]

    async def __aenter__(self) -> Self:
        """Begin to boot every host; returns when all of them listen."""
        booted_at = time.monotonic() + self._timing.boot
        for host, machine in zip(self._hosts, self.machines, strict=True):
            await self._begin_boot(host, machine, booted_at)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening, and end every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listener in self._open.values():
            listener.close()
        connections = tuple(self._connections)
        for connection in connections:
            connection.abort()
        await asyncio.gather(*(connection.wait_closed() for connection in connections))

    async def _begin_boot(self, host: Host, machine: Machine, booted_at: float) -> None:
        loop = asyncio.get_running_loop()
        reset_from = booted_at - self._timing.boot * (1 - _SILENT_SHARE)
        booting: set[asyncio.Transport] = set()
        listener = await loop.create_server(
            lambda: _Booting(self, reset_from, booting), machine.address, machine.port
        )
        self._open[host.name] = listener

        async def boot() -> None:
            try:
                await asyncio.sleep(booted_at - time.monotonic())
            finally:
                listener.close()
                for transport in booting:
                    transport.abort()
            self._open[host.name] = await self._serve(host, machine)

        self._tasks.append(asyncio.create_task(boot()))

    async def _serve(self, host: Host, machine: Machine) -> asyncssh.SSHAcceptor:
        shell = Shell(host, self._timing)
        return await asyncssh.listen(
            machine.address,
            machine.port,
            server_host_keys=[asyncssh.import_private_key(self._keys[host.name].private)],
            server_factory=lambda: _Server(self, host.name),
            process_factory=partial(_answer, shell, self),
            encoding=None,
            allow_scp=False,
            gss_host=None,
            reuse_address=True,
        )

    def opened(self, connection: asyncssh.SSHServerConnection, host: str) -> None:
        """Count a connection, and add the round trip to what comes in by it."""
        transport: asyncio.Transport = connection._transport  # type: ignore[assignment] # noqa: SLF001 - there is no public way to it
        self.traffic.attempts.append(_opened_at(transport.get_extra_info("socket")))
        self.traffic.served[host] += 1
        self._connections.add(connection)
        self.traffic.open_peak = max(self.traffic.open_peak, len(self._connections))
        transport.set_protocol(_Distant(connection, self._timing.round_trip))

    def closed(self, connection: asyncssh.SSHServerConnection) -> None:
        """Count a connection's end."""
        self._connections.discard(connection)

    def lets_in(self, user: str, key: asyncssh.SSHKey) -> bool:
        """Whether this is the operator."""
        return user == "root" and key == self._operator


def _opened_at(connected: socket.socket) -> float:
    """Return when the kernel heard of a new connection, by the clock of `time.monotonic`.

    This process may be late to accept it, which would show an even pace as a burst.
    """
    info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_ACK_OFFSET + 4)
    (milliseconds,) = struct.unpack_from("I", info, _LAST_ACK_OFFSET)
    return time.monotonic() - milliseconds / 1000


class _Server(asyncssh.SSHServer):
    def __init__(self, servers: Servers, host: str) -> None:
        self._servers = servers
        self._host = host

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._servers.opened(conn, self._host)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's signature
        self._servers.closed(self._connection)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._servers.lets_in(username, key)


class _Booting(asyncio.Protocol):
    """A host before its sshd runs."""

    def __init__(
        self, servers: Servers, reset_from: float, booting: set[asyncio.Transport]
    ) -> None:
        self._servers = servers
        self._reset_from = reset_from
        self._booting = booting

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a TCP server it is one
        self._transport = transport
        self._servers.traffic.attempts.append(_opened_at(transport.get_extra_info("socket")))
        if time.monotonic() >= self._reset_from:
            transport.abort()
        else:
            self._booting.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._booting.discard(self._transport)


class _Distant(asyncio.Protocol):
    """Hands what comes in to the connection a round trip later, in its order.

    TCP's own handshake is a round trip too, which the first data pays for.
    """

    def __init__(self, connection: asyncssh.SSHServerConnection, round_trip: float) -> None:
        self._connection = connection
        self._round_trip = round_trip
        self._loop = asyncio.get_running_loop()
        self._earliest = self._loop.time() + 2 * round_trip
        self._queue: collections.deque[Callable[[], object]] = collections.deque()

    def data_received(self, data: bytes) -> None:
        self._later(partial(self._connection.data_received, data))

    def eof_received(self) -> bool:
        self._later(self._connection.eof_received)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._queue.clear()
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def _later(self, call: Callable[[], object]) -> None:
        self._queue.append(call)
        self._earliest = max(self._loop.time() + self._round_trip, self._earliest)
        self._loop.call_at(self._earliest, self._next)

    def _next(self) -> None:
        if self._queue:
            self._queue.popleft()()


async def _answer(
    shell: Shell, servers: Servers, process: asyncssh.SSHServerProcess[bytes]
) -> None:
    """Run one command of a client; what it sends to standard input is read to its end first."""
    with contextlib.suppress(asyncssh.Error, BrokenPipeError):
        stdin = await process.stdin.read()
        words = shlex.split(process.command or "")
        script = words[3] if words[:3] == ["exec", "sh", "-c"] else process.command or ""
        servers.traffic.commands[script.splitlines()[0][:50]] += 1
        request = Request(
            script=script,
            stdin=stdin,
            client=process.get_extra_info("peername")[:2],
            server=process.get_extra_info("sockname")[:2],
        )
        try:
            process.stdout.write((await shell.run(request)).encode())
            process.exit(0)
        except Refusal as refusal:
            servers.traffic.failures.append(str(refusal))
            process.stderr.write(f"{refusal}\n".encode())
            process.exit(refusal.status)
