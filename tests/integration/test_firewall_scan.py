"""Every TCP and UDP port of a node, tried from every source of the table and from an outsider.

A probe table behind ours notes each new connection that got past it, so that all 65,535 ports are
distinguished whether or not anything listens. Real connections to ports that Docker published prove
the same from the client's side.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

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

# What a container sends through its node's table, to the manager and to the node itself.
FORWARD_PROBE = """
table inet probe {
    set passed {
        type inet_proto . inet_service
        flags dynamic
        size 131072
    }
    chain forward {
        type filter hook forward priority 10;
        ct state new ct original ip daddr TARGET meta l4proto { tcp, udp } \
            add @passed { meta l4proto . ct original proto-dst }
    }
    chain input {
        type filter hook input priority 10;
        ct state new iifname != { "lo", "eth0" } meta l4proto { tcp, udp } \
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

# Prints what a listener sends, or why none was reached.
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

# A datagram whose IPv4 header (RFC 791) and UDP header (RFC 768) name another sender.
FORGE = r"""
use Socket;
my ($from, $to, $port) = @ARGV;
socket(my $raw, PF_INET, SOCK_RAW, 255) or die "socket: $!";
setsockopt($raw, 0, 3, 1) or die "header: $!";
my $ip = pack "CCnnnCCna4a4", 0x45, 0, 32, 1, 0, 64, 17, 0, inet_aton($from), inet_aton($to);
my $udp = pack "nnnna4", 4444, $port, 12, 0, "scan";
send($raw, $ip . $udp, 0, pack_sockaddr_in(0, inet_aton($to))) or die "send: $!";
"""

MEMBER_PORTS = {("tcp", 2377), ("tcp", 7946), ("udp", 7946), ("udp", 4789), ("tcp", 5000)}
CLIENT_PORTS = {("tcp", 8080), ("tcp", 5555)}


@dataclass(frozen=True)
class Scene:
    """The trio, with a client that the policy allows and an outsider that it does not."""

    trio: Trio
    client: Container
    outsider: Container

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
        return _pairs(listed)

    def passed_from_inside(self, container: str, target: str, script: str, *words: str) -> Ports:
        """Return the ports of ``target`` that a container on the worker got to through its node."""
        lab, machine = self.trio.lab, self.trio.cluster.machines[1]
        lab.run(machine, "nft -f -", stdin=FORWARD_PROBE.replace("TARGET", target).encode())
        try:
            lab.run(
                machine,
                f"docker exec {container} perl -e '{script}' {' '.join(words)}",
                timeout=120,
            )
            return _pairs(json.loads(lab.run(machine, "nft -j list set inet probe passed")))
        finally:
            lab.run(machine, "nft delete table inet probe")

    def connect(self, container: Container, port: int, host: str = "") -> str:
        """Connect for real and return what was received."""
        command = ["perl", "-e", CONNECT, host or self.target, str(port)]
        return container.exec_run(command).output.decode().strip()


Ports = set[tuple[str, int]]


def _pairs(listed: dict[str, Any]) -> Ports:
    (found,) = [entry["set"] for entry in listed["nftables"] if "set" in entry]
    elements = [e.get("elem", e)["val"] if "elem" in e else e for e in found.get("elem", [])]
    return {(pair["concat"][0], int(pair["concat"][1])) for pair in elements}


def address_of(lab: Lab, container: Container) -> str:
    container.reload()
    return container.attrs["NetworkSettings"]["Networks"][lab.name]["IPAddress"]


@pytest.fixture(scope="module")
def scene(trio: Trio, probe_image: bytes) -> Iterator[Scene]:
    lab, worker = trio.lab, trio.cluster.machines[1]
    client, outsider = lab.outsider("client"), lab.outsider()
    policy = lab.policy(client_cidrs=(f"{address_of(lab, client)}/32",))
    trio.reconcile(replace(trio.cluster, firewall=policy))
    trio.load(probe_image, worker)
    for name, port in (("listed", LISTED_PORT), ("unlisted", UNLISTED_PORT)):
        lab.run(
            worker,
            f"docker run --detach --name {name} --publish {port}:80 {PROBE_IMAGE}"
            f" perl -e '{LISTEN}'",
        )
    yield Scene(trio, client, outsider)
    lab.run(worker, "docker rm -f listed unlisted")
    trio.restore()
    for container in (client, outsider):
        container.remove(force=True)


def test_every_port_is_closed_to_a_foreign_host(scene: Scene) -> None:
    source = address_of(scene.trio.lab, scene.outsider)
    assert scene.passed(scene.outsider, source) == set()


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
    source = address_of(scene.trio.lab, scene.outsider)
    try:
        seen = scene.passed(scene.outsider, source, last=10_000)
        assert scene.connect(scene.outsider, UNLISTED_PORT) == "welcome"
    finally:
        scene.trio.lab.run(worker, "nft -f /etc/dairflow/firewall.nft")
    assert seen == {(protocol, port) for protocol in ("tcp", "udp") for port in range(1, 10_001)}


def test_a_port_that_docker_published_is_open_only_to_sources_of_the_table(scene: Scene) -> None:
    assert scene.connect(scene.client, LISTED_PORT) == "welcome"
    assert scene.connect(scene.client, UNLISTED_PORT) == "silence"
    assert scene.connect(scene.outsider, LISTED_PORT) == "silence"
    assert scene.connect(scene.outsider, UNLISTED_PORT) == "silence"


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
    printed = lab.run(
        worker, f"docker exec listed perl -e '{CONNECT}' {manager.private_address} 22"
    )
    assert printed.startswith("SSH-2.0")


def test_a_foreign_host_s_ping_is_answered(scene: Scene) -> None:
    output = scene.outsider.exec_run(["perl", "-e", PING, scene.target]).output
    assert output == b"answered"


LAST_PORT = 8000
"""Of the scans from inside, which wait for a full table of connections no longer than needed."""


@pytest.fixture(scope="module")
def insiders(scene: Scene) -> Iterator[dict[str, str]]:
    """Containers on the worker by what their bridge is called; one publishes a member's port."""
    trio, worker = scene.trio, scene.trio.cluster.machines[1]
    run = f"docker run --detach --name {{0}} {{1}} {PROBE_IMAGE} sleep infinity"
    publish = f"docker run --detach --name member-port --publish 5000:80 {PROBE_IMAGE}"
    script = [
        "docker network create own",
        "docker network create --opt com.docker.network.bridge.name=odd0 odd",
        run.format("inside-docker0", ""),
        run.format("inside-own", "--network own"),
        run.format("inside-odd", "--network odd"),
        f"{publish} perl -e '{LISTEN}'",
    ]
    trio.lab.run(worker, " && ".join(script), timeout=60)
    trio.docker("network create --driver overlay over")
    trio.docker(
        "service create --detach=false --quiet --no-resolve-image --name task --network over"
        f" --constraint node.hostname==worker-1 {PROBE_IMAGE} sleep infinity"
    )
    task = trio.lab.run(worker, "docker ps -q --filter label=com.docker.swarm.service.name=task")
    yield {
        "docker0": "inside-docker0",
        "br-": "inside-own",
        "odd0": "inside-odd",
        "docker_gwbridge": task.strip(),
    }
    trio.docker("service rm task")
    trio.lab.run(worker, "docker rm -f inside-docker0 inside-own inside-odd member-port")
    trio.lab.run(worker, "docker network rm own odd")
    until_gone = "until docker network rm over > /dev/null; do sleep 0.2; done"
    trio.lab.run(trio.manager, until_gone, timeout=60)


@pytest.mark.parametrize("bridge", ["docker0", "br-", "docker_gwbridge"])
def test_from_a_container_the_members_ports_are_closed_and_all_others_left_to_them(
    scene: Scene, insiders: dict[str, str], bridge: str
) -> None:
    manager = scene.trio.manager.private_address
    words = (manager, str(LAST_PORT))
    passed = scene.passed_from_inside(insiders[bridge], manager, SCAN, *words)
    every = {(protocol, n) for protocol in ("tcp", "udp") for n in range(1, LAST_PORT + 1)}
    assert passed == every - MEMBER_PORTS


def test_from_a_bridge_of_another_name_nothing_is_let_out(
    scene: Scene, insiders: dict[str, str]
) -> None:
    manager = scene.trio.manager.private_address
    assert scene.passed_from_inside(insiders["odd0"], manager, SCAN, manager, "8000") == set()


@pytest.mark.parametrize("bridge", ["docker0", "odd0", "docker_gwbridge"])
def test_from_a_container_its_own_node_is_closed(
    scene: Scene, insiders: dict[str, str], bridge: str
) -> None:
    """By the node's address and by the bridge's; a port that Docker published is in the table."""
    lab, worker = scene.trio.lab, scene.trio.cluster.machines[1]
    gateway = lab.run(worker, f"ip -4 -o addr show {bridge} | sed 's:.* inet ::; s:/.*::'")
    for address in (worker.private_address, gateway.strip()):
        passed = scene.passed_from_inside(insiders[bridge], address, SCAN, address, str(LAST_PORT))
        assert passed == set()


def test_a_member_s_port_that_docker_published_is_open_to_members_only(
    scene: Scene, insiders: dict[str, str]
) -> None:
    lab, (_, worker, other) = scene.trio.lab, scene.trio.cluster.machines
    target = worker.private_address
    assert scene.connect(lab.container(other.name), 5000) == "welcome"
    inside = f"docker exec {insiders['docker0']} perl -e '{CONNECT}' {target}"
    assert lab.run(worker, f"{inside} 5000").strip() == "silence"


def test_a_container_cannot_pass_for_a_member(scene: Scene, insiders: dict[str, str]) -> None:
    """A datagram for VXLAN under the manager's address, sent to its own node and to another."""
    _, worker, other = scene.trio.cluster.machines
    manager = scene.trio.manager.private_address

    def arrived(target: str) -> Ports:
        words = (manager, target, "4789")
        return scene.passed_from_inside(insiders["docker0"], target, FORGE, *words)

    targets = (worker.private_address, other.private_address)
    assert [arrived(target) for target in targets] == [set(), set()]
    scene.trio.lab.run(worker, "nft delete table inet dairflow")
    try:
        assert [arrived(target) for target in targets] == [{("udp", 4789)}] * 2
    finally:
        scene.trio.lab.run(worker, "nft -f /etc/dairflow/firewall.nft")
