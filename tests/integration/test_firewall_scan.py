"""Every TCP and UDP port of a node, tried from everyone the table knows and from a stranger.

A probe table behind ours notes each new connection that got past it, so that all 65,535 ports are
told apart whether or not anything listens. Real connections to ports that Docker published prove
the same from the client's side.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Lab, Trio
    from docker.models.containers import Container

pytestmark = pytest.mark.integration

PROBE_IMAGE = "dairflow/probe:latest"
LISTED_PORT, UNLISTED_PORT = 8080, 9999

# After our chains (priority 0); "ct original" is the port before Docker's translation.
PROBE_TABLE = """
table inet probe {
    set passed {
        type inet_proto . inet_service
        flags dynamic
        size 131072
    }
    chain input {
        type filter hook input priority 10;
        ct state new ip saddr SOURCE meta l4proto { tcp, udp } \
            add @passed { meta l4proto . ct original proto-dst }
    }
    chain forward {
        type filter hook forward priority 10;
        ct state new ip saddr SOURCE meta l4proto { tcp, udp } \
            add @passed { meta l4proto . ct original proto-dst }
    }
}
"""

# Sends a SYN and a datagram to every port; waits for no answer.
SCAN = r"""
use Socket qw(:DEFAULT SOCK_NONBLOCK);
my ($host, $last) = @ARGV;
my $address = inet_aton($host);
for my $port (1 .. $last) {
    my $to = pack_sockaddr_in($port, $address);
    socket(my $tcp, PF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0) or die "socket: $!";
    connect($tcp, $to);
    close $tcp;
    socket(my $udp, PF_INET, SOCK_DGRAM, 0) or die "socket: $!";
    send($udp, "scan", 0, $to);
    close $udp;
}
"""

# Prints what a listener says, or why nobody was reached.
CONNECT = r"""
use Socket;
my ($host, $port) = @ARGV;
socket(my $tcp, PF_INET, SOCK_STREAM, 0) or die;
$SIG{ALRM} = sub { print "silence"; exit };
alarm 3;
connect($tcp, pack_sockaddr_in($port, inet_aton($host))) or do { print "refused"; exit };
print scalar <$tcp>;
"""

LISTEN = r"""
use Socket;
socket(my $in, PF_INET, SOCK_STREAM, 0) or die;
setsockopt($in, SOL_SOCKET, SO_REUSEADDR, 1);
bind($in, pack_sockaddr_in(80, INADDR_ANY)) or die;
listen($in, 5);
while (accept(my $to, $in)) { syswrite $to, "welcome\n"; close $to }
"""

# An ICMP echo request (RFC 792) with its checksum; prints whether the reply came.
PING = r"""
use Socket;
socket(my $icmp, PF_INET, SOCK_RAW, 1) or die "socket: $!";
$SIG{ALRM} = sub { print "silence"; exit };
alarm 3;
my $sum = 0;
$sum += $_ for unpack "n*", pack "CCnnn", 8, 0, 0, 7, 1;
send($icmp, pack("CCnnn", 8, 0, ~$sum & 0xffff, 7, 1), 0, pack_sockaddr_in(0, inet_aton($ARGV[0])));
recv($icmp, my $reply, 1500, 0);
print unpack("x20C", $reply) == 0 ? "answered" : "refused";
"""

MEMBER_PORTS = {("tcp", 2377), ("tcp", 7946), ("udp", 7946), ("udp", 4789), ("tcp", 5000)}
CLIENT_PORTS = {("tcp", 8080), ("tcp", 5555)}


@dataclass(frozen=True)
class Scene:
    """The trio, with a client that the policy allows and a stranger that it does not."""

    trio: Trio
    client: Container
    stranger: Container

    @property
    def target(self) -> str:
        """The address of the node that is tried: a worker with two ports published by Docker."""
        return self.trio.cluster.machines[1].address

    def passed(self, scanner: Container, source: str, last: int = 65535) -> set[tuple[str, int]]:
        """Return the ports up to ``last`` whose new connections from ``source`` got through."""
        lab, machine = self.trio.lab, self.trio.cluster.machines[1]
        lab.run(machine, "nft -f -", stdin=PROBE_TABLE.replace("SOURCE", source).encode())
        try:
            exit_code, output = scanner.exec_run(["perl", "-e", SCAN, self.target, str(last)])
            assert exit_code == 0, output
            listed = json.loads(lab.run(machine, "nft -j list set inet probe passed"))
        finally:
            lab.run(machine, "nft delete table inet probe")
        (found,) = [entry["set"] for entry in listed["nftables"] if "set" in entry]
        elements = [e.get("elem", e)["val"] if "elem" in e else e for e in found.get("elem", [])]
        return {(pair["concat"][0], int(pair["concat"][1])) for pair in elements}

    def connect(self, container: Container, port: int, host: str = "") -> str:
        """Connect for real and return what was said."""
        command = ["perl", "-e", CONNECT, host or self.target, str(port)]
        return container.exec_run(command).output.decode().strip()


def address_of(lab: Lab, container: Container) -> str:
    container.reload()
    return container.attrs["NetworkSettings"]["Networks"][lab.name]["IPAddress"]


@pytest.fixture(scope="module")
def scene(trio: Trio, probe_image: bytes) -> Iterator[Scene]:
    lab, worker = trio.lab, trio.cluster.machines[1]
    client, stranger = lab.stranger("client"), lab.stranger()
    policy = lab.policy(client_cidrs=(f"{address_of(lab, client)}/32",))
    trio.reconcile(replace(trio.cluster, firewall=policy))
    trio.load(probe_image, worker)
    for name, port in (("listed", LISTED_PORT), ("unlisted", UNLISTED_PORT)):
        lab.run(
            worker,
            f"docker run --detach --name {name} --publish {port}:80 {PROBE_IMAGE}"
            f" perl -e '{LISTEN}'",
        )
    yield Scene(trio, client, stranger)
    lab.run(worker, "docker rm -f listed unlisted")
    trio.restore()
    for container in (client, stranger):
        container.remove(force=True)


def test_to_a_stranger_every_port_is_closed(scene: Scene) -> None:
    source = address_of(scene.trio.lab, scene.stranger)
    assert scene.passed(scene.stranger, source) == set()


def test_to_a_client_the_web_pages_are_open_and_nothing_else(scene: Scene) -> None:
    source = address_of(scene.trio.lab, scene.client)
    assert scene.passed(scene.client, source) == CLIENT_PORTS


def test_to_a_member_the_swarm_s_ports_are_open_and_nothing_else(scene: Scene) -> None:
    member = scene.trio.cluster.machines[2]
    scanner = scene.trio.lab.container(member.name)
    assert scene.passed(scanner, member.private_address) == MEMBER_PORTS


def test_without_the_firewall_the_same_scan_sees_every_port(scene: Scene) -> None:
    """The scan itself can see: so the empty result above means something."""
    worker = scene.trio.cluster.machines[1]
    scene.trio.lab.run(worker, "nft delete table inet dairflow")
    source = address_of(scene.trio.lab, scene.stranger)
    try:
        seen = scene.passed(scene.stranger, source, last=10_000)
        assert scene.connect(scene.stranger, UNLISTED_PORT) == "welcome"
    finally:
        scene.trio.lab.run(worker, "nft -f /etc/dairflow/firewall.nft")
    assert seen == {(protocol, port) for protocol in ("tcp", "udp") for port in range(1, 10_001)}


def test_a_port_that_docker_published_is_open_only_where_the_table_says(scene: Scene) -> None:
    assert scene.connect(scene.client, LISTED_PORT) == "welcome"
    assert scene.connect(scene.client, UNLISTED_PORT) == "silence"
    assert scene.connect(scene.stranger, LISTED_PORT) == "silence"
    assert scene.connect(scene.stranger, UNLISTED_PORT) == "silence"


def test_a_container_s_own_address_is_not_reached_by_a_route_through_its_node(
    scene: Scene,
) -> None:
    lab, worker = scene.trio.lab, scene.trio.cluster.machines[1]
    inside = lab.run(
        worker, "docker inspect --format '{{.NetworkSettings.IPAddress}}' listed"
    ).strip()
    router = lab.container("worker-2")
    router.exec_run(["ip", "route", "add", f"{inside}/32", "via", worker.address])
    try:
        assert scene.connect(router, 80, inside) == "silence"
    finally:
        router.exec_run(["ip", "route", "del", f"{inside}/32"])


def test_containers_reach_the_outside(scene: Scene) -> None:
    """From a container on the worker to the manager's sshd, by way of the worker's address."""
    lab, (manager, worker, _) = scene.trio.lab, scene.trio.cluster.machines
    policy = lab.policy(operator_cidrs=(f"{lab.gateway}/32", f"{worker.private_address}/32"))
    scene.trio.reconcile(replace(scene.trio.cluster, firewall=policy))
    said = lab.run(worker, f"docker exec listed perl -e '{CONNECT}' {manager.private_address} 22")
    assert said.startswith("SSH-2.0")


def test_a_stranger_s_ping_is_answered(scene: Scene) -> None:
    output = scene.stranger.exec_run(["perl", "-e", PING, scene.target]).output
    assert output == b"answered"
