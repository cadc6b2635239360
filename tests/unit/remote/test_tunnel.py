"""A tunnel: connections are forwarded, errors are reported, and nothing happens before."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.remote import tunnel
from infra.resources.push_port import PushPortProvider


class FarEnd:
    """A channel to one end of a pair of sockets, whose other end answers in capitals."""

    def __init__(self) -> None:
        self._near, far = socket.socketpair()
        self.closed = threading.Event()
        threading.Thread(target=self._answer, args=(far,), daemon=True).start()

    def recv(self, nbytes: int, /) -> bytes:
        return self._near.recv(nbytes)

    def sendall(self, s: bytes, /) -> None:
        self._near.sendall(s)

    def shutdown_write(self) -> None:
        self._near.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._near.close()
        self.closed.set()

    @staticmethod
    def _answer(far: socket.socket) -> None:
        with far, far.makefile("rb") as asked:
            far.sendall(asked.read().upper())


def ask(port: int, question: bytes) -> bytes:
    with socket.create_connection((tunnel.LOOPBACK, port), timeout=10) as client:
        client.sendall(question)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as answer:
            return answer.read()


@contextmanager
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind((tunnel.LOOPBACK, 0))
        other.listen()
        yield other.getsockname()[1]


def test_clients_are_led_to_a_channel_each_and_it_is_closed() -> None:
    opened: list[FarEnd] = []

    def reach() -> FarEnd:
        opened.append(FarEnd())
        return opened[-1]

    port = tunnel.open_tunnel(0, reach, pytest.fail)
    assert opened == []
    question = b"the end is passed on " * 100_000
    assert ask(port, question) == question.upper()
    assert ask(port, b"again") == b"AGAIN"
    assert len(opened) == 2
    assert all(end.closed.wait(10) for end in opened)


def test_a_failure_is_reported_and_the_client_disconnected() -> None:
    reported: list[Exception] = []

    def reach() -> FarEnd:
        message = "the machine does not answer"
        raise OSError(message)

    port = tunnel.open_tunnel(0, reach, reported.append)
    try:
        answer = ask(port, b"anyone?")
    except OSError:
        answer = b""
    assert answer == b""
    assert [str(error) for error in reported] == ["the machine does not answer"]


def test_a_taken_port_is_refused_by_its_number() -> None:
    with taken() as port, pytest.raises(tunnel.TunnelError, match=f"port {port} of 127.0.0.1"):
        tunnel.open_tunnel(port, FarEnd, pytest.fail)


def test_a_port_is_kept_until_a_refresh_sees_that_it_is_taken() -> None:
    provider = PushPortProvider()
    chosen = provider.create({"port": None, "free": True})
    assert int(chosen.outs["port"]) in tunnel.PORTS
    assert provider.read(chosen.id, chosen.outs).outs["free"] is True
    with taken() as port:
        seen = provider.read(chosen.id, {**chosen.outs, "port": float(port)}).outs
    assert seen["free"] is False
    assert provider.diff("", seen, {"port": None, "free": True}).changes
    assert provider.update("", seen, {"port": None, "free": True}).outs["free"] is True


def test_the_program_imports_no_paramiko_for_it() -> None:
    code = "import sys, infra.remote.tunnel; sys.exit('paramiko' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
