"""Connections are attempted no faster than the limit, and failing attempts print nothing."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra.firewall import Policy
from infra.remote.keys import generate_key_pair
from infra.remote.login import Login
from infra.remote.machine import Jump, Machine
from infra.remote.pool import SshPool
from infra.remote.rate_limit import CONNECTIONS_PER_SECOND, RateLimit
from infra.remote.runner import RemoteError
from infra.resources.existing import AcceptedHostKeyProvider, ExistingHostsProvider
from infra.resources.provider import ResourceError
from infra.resources.swarm import SwarmProvider
from infra.stack.memory import Needs

if TYPE_CHECKING:
    from collections.abc import Iterator


class BootingHost:
    """Accepts connections and ends each at once, as a host whose sshd does not run yet may."""

    def __init__(self) -> None:
        self.moments: list[float] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def machine(self, name: str) -> Machine:
        return Machine(
            name=name,
            role="worker",
            address="127.0.0.1",
            port=self.port,
            host_key=generate_key_pair().public,
            private_address="10.9.0.101",
        )

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.moments.append(time.monotonic())
            connection.close()


@pytest.fixture
def booting() -> Iterator[BootingHost]:
    host = BootingHost()
    yield host
    host.close()


def test_threads_pass_one_at_a_time_with_a_pause_between() -> None:
    rate_limit, moments = RateLimit(50), []

    def passes(_: int) -> None:
        rate_limit.wait()
        moments.append(time.monotonic())

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(passes, range(20)))
    assert max(moments) - min(moments) >= 19 / 50


def test_lost_time_is_not_made_up_for() -> None:
    rate_limit, moments = RateLimit(50), []
    rate_limit.wait()
    time.sleep(0.1)
    for _ in range(3):
        rate_limit.wait()
        moments.append(time.monotonic())
    assert all(b - a >= 1 / 50 for a, b in itertools.pairwise(moments))


def test_attempts_on_all_machines_together_keep_the_pace(booting: BootingHost) -> None:
    machines = [booting.machine(f"worker-{number}") for number in range(1, 5)]
    pool = SshPool(generate_key_pair().private, connect_timeout=1, rate_limit=RateLimit(10))

    def fails(machine: Machine) -> None:
        with pytest.raises(RemoteError, match="waited 1 s for SSH"):
            pool.runner(machine)

    with ThreadPoolExecutor(len(machines)) as threads:
        list(threads.map(fails, machines))
    assert len(booting.moments) > len(machines), "each is tried again"
    assert len(booting.moments) <= 1 + 10 * (booting.moments[-1] - booting.moments[0] + 0.05)


def test_the_connection_to_a_jump_host_counts_as_well(booting: BootingHost) -> None:
    host = booting.machine("worker-1")
    jump = Jump(address=host.address, port=host.port, user="root", host_key=host.host_key)
    key = generate_key_pair().private
    logins = {host.name: Login(private_key=key, jump_private_key=key)}
    pool = SshPool("", logins=logins, connect_timeout=1, rate_limit=RateLimit(8))
    with pytest.raises(RemoteError, match="waited 1 s for SSH"):
        pool.runner(replace(host, jump=jump))
    assert len(booting.moments) > 1
    assert all(b - a > 0.2 for a, b in itertools.pairwise(booting.moments))


def test_attempts_that_fail_print_nothing(booting: BootingHost) -> None:
    program = (
        "import sys\n"
        "from infra.remote.machine import Machine\n"
        "from infra.remote.runner import RemoteError\n"
        "from infra.remote.ssh import connect\n"
        "try: connect(Machine.from_dict(eval(sys.argv[1])), sys.stdin.read(), timeout=0.5)\n"
        "except RemoteError: print('refused')\n"
    )
    arguments = [sys.executable, "-c", program, repr(booting.machine("worker-1").to_dict())]
    key = generate_key_pair().private
    done = subprocess.run(arguments, input=key, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_the_swarm_s_provider_keeps_its_resource_s_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    props = {
        "name": "swarm",
        "machines": [],
        "private_key": "key",
        "firewall": Policy(operator_cidrs=(), client_cidrs=()).to_dict(),
        "trusted_registries": {},
        "drain_timeout": 60.0,
        "cluster_id": "id",
    }
    rates: list[float] = []

    def shared(per_second: float) -> RateLimit:
        rates.append(per_second)
        return RateLimit(per_second)

    monkeypatch.setattr("infra.resources.ssh_pool.shared_rate_limit", shared)
    SwarmProvider().delete("id", {**props, "connections_per_second": 5.0})
    SwarmProvider().delete("id", props)
    assert rates == [5.0, CONNECTIONS_PER_SECOND], "an older state has no rate of its own"


def test_the_check_of_hosts_keeps_the_pace_together_with_the_look_at_their_keys(
    booting: BootingHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pulumi runs several resources at once; the rate is that of all of them."""
    monkeypatch.setattr("infra.machines.existing.hosts.CONNECT_SECONDS", 1.0)
    hosts = [booting.machine(f"worker-{number}") for number in range(1, 5)]
    key = Login(private_key=generate_key_pair().private).to_dict()
    props = {"logins": {host.name: key for host in hosts}, "connections_per_second": 11.0}
    checked = {
        **props,
        "machines": [host.to_dict() for host in hosts],
        "stack": "0123abcd",
        "adopt": False,
        "manager_ports": [8080],
        "needed": Needs().to_dict(),
    }

    def check() -> None:
        with pytest.raises(ResourceError, match=r"worker-4 .*waited 1 s for SSH"):
            ExistingHostsProvider().create(checked)

    def look(host: Machine) -> None:
        with pytest.raises(ResourceError, match=r"No host was changed\.\n.*waited 1 s for SSH"):
            AcceptedHostKeyProvider().create({**props, "machine": host.to_dict()})

    with ThreadPoolExecutor(3) as threads:
        work = [threads.submit(check), *(threads.submit(look, host) for host in hosts[:2])]
    for done in work:
        done.result()
    assert len(booting.moments) > len(hosts), "each is tried again"
    assert len(booting.moments) <= 1 + 11 * (booting.moments[-1] - booting.moments[0] + 0.05)
