"""The tunnel to a real machine: megabytes pass, and a port without a listener is named."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from infra.remote import tunnel
from infra.remote.runner import RemoteError

if TYPE_CHECKING:
    from conftest import Lab, Trio

    from infra.remote.machine import Machine

pytestmark = pytest.mark.integration

ECHO_PORT = 7007
_ECHO = f"""perl -MIO::Socket::INET -e '
$listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => {ECHO_PORT}, Listen => 9);
if ($pid = fork) {{ print $pid; exit }}
open STDOUT, ">/dev/null"; open STDERR, ">/dev/null";
while ($client = $listener->accept) {{
    if (fork) {{ close $client; next }}
    while (sysread $client, $chunk, 65536) {{ print $client $chunk }}
    exit;
}}'"""


@pytest.fixture
def machine(trio: Trio) -> Machine:
    return trio.cluster.machines[1]


def test_megabytes_go_there_and_back_over_a_port_that_is_open_on_loopback_only(
    lab: Lab, machine: Machine
) -> None:
    echo = lab.run(machine, _ECHO)
    runner = lab.pool.runner(machine)
    port = tunnel.open_tunnel(0, lambda: runner.dial("127.0.0.1", ECHO_PORT), pytest.fail)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            sent = b"0123456789abcdef" * 2**16
            received = bytearray()
            for _ in range(4):
                client.sendall(sent)
                while len(received) % len(sent) or not received:
                    received += client.recv(65_536)
            client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(65_536):
                received += chunk
        assert bytes(received) == sent * 4
    finally:
        lab.run(machine, f"kill {echo}")


def test_a_port_that_nobody_listens_on_is_named(lab: Lab, machine: Machine) -> None:
    with pytest.raises(RemoteError, match=r"connected from there to 127\.0\.0\.1:9: refused"):
        lab.pool.runner(machine).dial("127.0.0.1", 9)
