"""Every row of the table is needed: without it, what its reason names does not work."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra import firewall
from infra.remote.runner import RemoteError
from infra.remote.ssh import connect
from infra.swarm.cluster import Cluster
from infra.swarm.reconcile import reconcile

if TYPE_CHECKING:
    from conftest import Lab, Trio

    from infra.firewall import Opening, Policy
    from infra.remote.machine import Machine

pytestmark = pytest.mark.integration

PROBE_IMAGE = "dairflow/probe:latest"
LISTEN = r"""
use Socket;
socket(my $in, PF_INET, SOCK_STREAM, 0) or die;
setsockopt($in, SOL_SOCKET, SO_REUSEADDR, 1);
bind($in, pack_sockaddr_in(80, INADDR_ANY)) or die;
listen($in, 5);
while (accept(my $to, $in)) { syswrite $to, "welcome\n"; close $to }
"""
CONNECT = r"""
use Socket;
my ($host, $port) = @ARGV;
socket(my $tcp, PF_INET, SOCK_STREAM, 0) or die;
$SIG{ALRM} = sub { print "silence"; exit };
alarm 3;
connect($tcp, pack_sockaddr_in($port, inet_aton($host))) or do { print "refused"; exit };
print scalar <$tcp>;
"""


def leave_out(monkeypatch: pytest.MonkeyPatch, *rows: tuple[int, str]) -> None:
    """Take rows out of the table, by port and protocol."""
    whole = firewall.openings

    def partial(policy: Policy, *, ssh_port: int = 22) -> tuple[Opening, ...]:
        return tuple(
            row for row in whole(policy, ssh_port=ssh_port) if (row.port, row.protocol) not in rows
        )

    monkeypatch.setattr(firewall, "openings", partial)


def across_the_overlay(lab: Lab, here: Machine, there: Machine) -> str:
    """Connect from a container on one node to a container on another, over an overlay network."""
    lab.run(here, "docker network create --driver overlay --attachable crossing")
    run = "docker run --network crossing"
    try:
        lab.run(there, f"{run} --detach --name far {PROBE_IMAGE} perl -e '{LISTEN}'")
        inspect = "{{.NetworkSettings.Networks.crossing.IPAddress}}"
        address = lab.run(there, f"docker inspect --format '{inspect}' far").strip()
        return lab.run(
            here, f"{run} --rm {PROBE_IMAGE} perl -e '{CONNECT}' {address} 80", timeout=30
        ).strip()
    finally:
        lab.run(there, "docker rm -f far", check=False)
        lab.run(here, "docker network rm crossing", check=False)


def test_with_every_row_the_overlay_carries(trio: Trio, probe_image: bytes) -> None:
    manager, worker, _ = trio.cluster.machines
    trio.load(probe_image, manager, worker)
    assert across_the_overlay(trio.lab, manager, worker) == "welcome"


def test_without_4789_udp_the_overlay_carries_nothing(
    trio: Trio, probe_image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager, worker, _ = trio.cluster.machines
    trio.load(probe_image, manager, worker)
    leave_out(monkeypatch, (4789, "udp"))
    trio.restore()
    assert across_the_overlay(trio.lab, manager, worker) == "silence"
    monkeypatch.undo()
    trio.restore()
    assert across_the_overlay(trio.lab, manager, worker) == "welcome"


def test_without_22_tcp_nobody_gets_in(trio: Trio, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out(monkeypatch, (22, "tcp"))
    trio.restore()
    with pytest.raises(RemoteError, match="waited 2 s for SSH"):
        connect(trio.manager, trio.lab.operator.private, timeout=2)
    monkeypatch.undo()
    trio.restore()
    connect(trio.manager, trio.lab.operator.private, timeout=5).close()


def test_without_its_row_a_published_port_is_not_reached(
    trio: Trio, probe_image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, worker = trio.lab, trio.cluster.machines[1]
    trio.load(probe_image, worker)
    client = lab.outsider("client")
    ways = [(lab.container("worker-2"), 5000), (client, 8080), (client, 5555)]
    publish = " ".join(f"--publish {port}:80" for _, port in ways)
    lab.run(worker, f"docker run --detach --name web {publish} {PROBE_IMAGE} perl -e '{LISTEN}'")
    cluster = replace(trio.cluster, firewall=lab.policy(client_cidrs=(str(lab.subnet),)))

    def reached() -> list[bytes]:
        command = ["perl", "-e", CONNECT, worker.address]
        return [who.exec_run([*command, str(port)]).output.strip() for who, port in ways]

    try:
        trio.reconcile(cluster)
        assert reached() == [b"welcome"] * 3
        leave_out(monkeypatch, (5000, "tcp"), (8080, "tcp"), (5555, "tcp"))
        trio.reconcile(cluster)
        assert reached() == [b"silence"] * 3
    finally:
        monkeypatch.undo()
        lab.run(worker, "docker rm -f web")
        trio.restore()
        client.remove(force=True)


def test_without_2377_nobody_joins_and_without_7946_tcp_no_overlay_spreads(
    own_lab: Lab, probe_image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager, worker = own_lab.machines("manager-1", "worker-1")
    cluster = Cluster(name="pair", machines=(manager, worker), firewall=own_lab.policy())
    leave_out(monkeypatch, (2377, "tcp"))
    with pytest.raises(RemoteError, match=r"(?s)worker-1 .*joined the swarm.*:2377 can be reached"):
        reconcile(cluster, own_lab.pool, own_lab.report)
    monkeypatch.undo()
    leave_out(monkeypatch, (7946, "tcp"))
    own_lab.run(worker, "docker swarm leave --force", check=False)
    reconcile(cluster, own_lab.pool, own_lab.report)
    for machine in (manager, worker):
        own_lab.run(machine, f"docker import - {PROBE_IMAGE}", stdin=probe_image)
    assert across_the_overlay(own_lab, manager, worker) != "welcome"
