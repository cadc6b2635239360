"""Hosts that this project did not prepare: what is refused, and how they are signed in to."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from shlex import quote
from typing import TYPE_CHECKING

import docker
import pytest
from plain_hosts import (
    IMAGE,
    LABEL,
    PASSWORD,
    PASSWORD_USER,
    USER,
    PlainHost,
    PlainHosts,
    build,
    differences,
)

from infra.docker_networks import POOL, about_to_take
from infra.firewall import Policy
from infra.machines.errors import HostError
from infra.machines.existing.host_check import CLAIM_FILE
from infra.machines.existing.hosts import LEAVE_FILE, claim, inspect, reject_orphans, release_hosts
from infra.remote.keys import generate_key_pair
from infra.remote.login import Login
from infra.remote.machine import Jump, Machine
from infra.remote.pool import SshPool
from infra.remote.runner import RemoteError
from infra.remote.ssh import connect, shown_host_key
from infra.resources.stack import StackProvider
from infra.stack.engine import down_workers
from infra.stack.remove import remove_from
from infra.swarm import commands
from infra.swarm.cluster import Cluster
from infra.swarm.dismantle import dismantle
from infra.swarm.reconcile import reconcile
from infra.swarm.release import Release
from tests.network_addresses import addresses_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Lab

    from infra.machines.existing.host_check import HostFacts

pytestmark = pytest.mark.integration

STACK = "0123abcd"


@pytest.fixture(scope="module")
def hosts() -> Iterator[PlainHosts]:
    client = docker.from_env(timeout=300)
    hosts = PlainHosts(client=client, name="dairflow-test-hosts")
    hosts.close()
    build(client)
    try:
        yield hosts
    finally:
        hosts.close()
        client.close()


@pytest.fixture(scope="module")
def alpha(hosts: PlainHosts) -> PlainHost:
    return hosts.start("alpha")


@pytest.fixture(scope="module")
def beta(hosts: PlainHosts) -> PlainHost:
    return hosts.start("beta", ssh_port=2222)


@pytest.fixture
def login(hosts: PlainHosts) -> Login:
    return Login(private_key=hosts.operator.private)


def machine(host: PlainHost, *, user: str = USER, port: int = 22) -> Machine:
    return Machine(
        name="alpha" if port == 22 else "beta",
        role="manager",
        address=host.address,
        host_key=host.host_key,
        private_address=host.address,
        port=port,
        user=user,
    )


def ip(hosts: PlainHosts, *arguments: str) -> str:
    """Query or change this machine's own network, with a host's ip: it may have none."""
    printed = hosts.client.containers.run(
        IMAGE,
        list(arguments),
        entrypoint=["ip"],
        network_mode="host",
        cap_add=["NET_ADMIN"],
        labels={LABEL: hosts.name},
        remove=True,
    )
    return printed.decode()


def look(on: Machine, login: Login, *, adopt: bool = False) -> dict[str, HostFacts]:
    with SshPool("", logins={on.name: login}) as pool:
        return inspect([on], pool, stack=STACK, adopt=adopt, manager_ports=[8080])


def test_hosts_that_leave_are_as_they_were_found(
    hosts: PlainHosts, probe_image: bytes, login: Login
) -> None:
    """A node that is taken out, then the last one, with an overlay network and a published port."""
    there = {"gamma": hosts.start("gamma"), "delta": hosts.start("delta")}
    before = {name: hosts.snapshot(host) for name, host in there.items()}
    manager, worker = (
        replace(machine(host, user="root"), name=name, role=role)
        for (name, host), role in zip(there.items(), ("manager", "worker"), strict=True)
    )
    lines: list[str] = []
    release = Release(stack="airflow", remove_engine=True)
    cluster = Cluster(
        name="hosts",
        machines=(manager, worker),
        firewall=Policy(operator_cidrs=(f"{_gateway(hosts)}/32",), client_cidrs=()),
        trusted_registries={f"{manager.private_address}:5000": "a certificate"},
        drain_timeout=20,
        release=release,
    )
    logins = dict.fromkeys(there, login)
    with SshPool("", logins=logins) as pool:
        found = inspect(cluster.machines, pool, stack=STACK, adopt=False, manager_ports=[])
        claim(cluster.machines, found, pool, lines.append, stack=STACK, release=release)
        state = reconcile(cluster, pool, lines.append)
        for on in cluster.machines:
            pool.runner(on).run("docker import - dairflow/probe:latest", stdin=probe_image)
        compose = (
            b"{services: {all: {image: 'dairflow/probe:latest', command: sleep 1000,"
            b" stop_grace_period: 1s, deploy: {mode: global, endpoint_mode: dnsrr},"
            b" ports: [{target: 80, published: 8080, mode: host}], volumes: ['data:/data']}},"
            b" volumes: {data: {}}}"
        )
        deploy = "docker stack deploy --resolve-image never -c - airflow"
        pool.runner(manager).run(deploy, stdin=compose)
        count = "docker service ps airflow_all --filter desired-state=running | grep -c Running"
        wait = f'until [ "$({count})" = 2 ]; do sleep 0.2; done'
        pool.runner(manager).run(wait, timeout=90)

        alone = replace(cluster, machines=(manager,))
        reconcile(alone, pool, lines.append, leaving=(worker,), cluster_id=state.cluster_id)
        assert differences(before["delta"], hosts.snapshot(there["delta"])) == {}
        pool.runner(manager).run("docker stack rm airflow")
        dismantle(alone, pool, lines.append, cluster_id=state.cluster_id)
        assert differences(before["gamma"], hosts.snapshot(there["gamma"])) == {}


def _gateway(hosts: PlainHosts) -> str:
    return addresses_of(hosts.client.networks.get(hosts.name))[1]


def test_a_stack_is_removed_although_a_worker_is_gone(
    own_lab: Lab, probe_image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The swarm itself would keep the tasks of the dead node for a day."""
    monkeypatch.setattr("infra.stack.remove.CONNECT_SECONDS", 2.0)
    machines = own_lab.machines("manager-1", "worker-1")
    manager = machines[0]
    cluster = Cluster(name="gone", machines=machines, firewall=own_lab.policy(), drain_timeout=9)
    reconcile(cluster, own_lab.pool, own_lab.report)
    for on in machines:
        own_lab.run(on, "docker import - dairflow/probe:latest", stdin=probe_image)
    compose = (
        b"services: {all: {image: 'dairflow/probe:latest', command: sleep 1000,"
        b" stop_grace_period: 1s, deploy: {mode: global}}}"
    )
    own_lab.run(manager, "docker stack deploy --resolve-image never -c - airflow", stdin=compose)
    running = "docker service ps airflow_all --filter desired-state=running | grep -c Running"
    own_lab.run(manager, f'until [ "$({running})" = 2 ]; do sleep 0.2; done', timeout=60)
    assert down_workers(own_lab.pool.runner(manager)) == []
    own_lab.remove("worker-1")
    down = "docker node ls --filter role=worker --format '{{.Status}}' | grep -q Down"
    own_lab.run(manager, f"until {down}; do sleep 0.2; done", timeout=60)
    assert down_workers(own_lab.pool.runner(manager)) == ["worker-1"]
    props = {
        "name": "airflow",
        "machines": [on.to_dict() for on in machines],
        "private_key": own_lab.operator.private,
    }
    StackProvider().delete("airflow", props)
    assert own_lab.run(manager, "docker service ls -q; docker node ls -q | wc -l") == "1\n"


def test_a_stack_is_removed_although_the_first_manager_is_gone(
    own_lab: Lab, probe_image: bytes
) -> None:
    """The others elect a leader meanwhile."""
    machines = own_lab.machines("manager-1", "manager-2", "manager-3")
    cluster = Cluster(name="gone", machines=machines, firewall=own_lab.policy(), drain_timeout=9)
    reconcile(cluster, own_lab.pool, own_lab.report)
    for on in machines:
        own_lab.run(on, "docker import - dairflow/probe:latest", stdin=probe_image)
    compose = (
        b"services: {all: {image: 'dairflow/probe:latest', command: sleep 1000,"
        b" stop_grace_period: 1s, deploy: {mode: global}, volumes: ['data:/data']}}\n"
        b"volumes: {data: {}}"
    )
    second = machines[1]
    own_lab.run(second, "docker stack deploy --resolve-image never -c - airflow", stdin=compose)
    running = "docker service ps airflow_all --filter desired-state=running | grep -c Running"
    own_lab.run(second, f'until [ "$({running})" = 3 ]; do sleep 0.2; done', timeout=60)
    own_lab.remove("manager-1")
    remove_from(machines, own_lab.pool, "airflow", report=own_lab.report)
    left = "docker service ls -q; docker volume ls -q; docker ps -q; docker node ls -q | wc -l"
    assert own_lab.run(second, left) == "2\n"


@pytest.mark.parametrize("user", ["root", USER])
def test_a_key_makes_root(alpha: PlainHost, login: Login, user: str) -> None:
    with connect(machine(alpha, user=user), login, timeout=20) as runner:
        assert runner.run("id -u; cat", stdin=b"given").stdout == "0\ngiven"
        assert runner.run("echo $SSH_CONNECTION").stdout.split()[3] == "22"


def test_a_password_makes_root_and_never_becomes_a_command_s_input(alpha: PlainHost) -> None:
    login = Login(password=PASSWORD)
    with connect(machine(alpha, user=PASSWORD_USER), login, timeout=20) as runner:
        for _ in range(2):
            assert runner.run("id -u; cat", stdin=b"given").stdout == "0\ngiven"
        runner.write_file("/opt/file", b"whole\n")
        assert alpha.run("cat /opt/file; rm /opt/file") == "whole\n"
        with pytest.raises(RemoteError) as caught:
            runner.run("exit 9")
    assert PASSWORD not in str(caught.value)


def test_a_missing_login_is_reported_at_once(alpha: PlainHost) -> None:
    with pytest.raises(RemoteError, match="neither a key nor a password is set"):
        connect(machine(alpha), Login(), timeout=300)


def test_a_wrong_password_is_reported_without_its_value(alpha: PlainHost) -> None:
    with pytest.raises(RemoteError, match="logged in with the configured password") as caught:
        connect(machine(alpha, user=PASSWORD_USER), Login(password="wrong-secret"), timeout=20)
    assert "wrong-secret" not in str(caught.value)


def test_a_password_that_sudo_refuses_is_reported_before_any_command(
    alpha: PlainHost, hosts: PlainHosts
) -> None:
    alpha.run(f"cp -rp /home/{USER}/.ssh /home/{PASSWORD_USER}/")
    alpha.run(f"chown -R {PASSWORD_USER}: /home/{PASSWORD_USER}/.ssh")
    login = Login(private_key=hosts.operator.private, password="wrong-secret")
    with pytest.raises(RemoteError, match=r"became root with sudo .*: sudo rejects it") as caught:
        connect(machine(alpha, user=PASSWORD_USER), login, timeout=20)
    assert "wrong-secret" not in str(caught.value)
    with pytest.raises(HostError, match="sudo: a password is required"):
        look(machine(alpha, user=PASSWORD_USER), replace(login, password=""))


def test_a_host_behind_another_is_reached_through_it(
    alpha: PlainHost, beta: PlainHost, login: Login
) -> None:
    jump = Jump(address=alpha.address, host_key=alpha.host_key, user=USER)
    behind = replace(machine(beta, port=2222), address="127.0.0.1", jump=jump)
    through = replace(login, jump_private_key=login.private_key)
    with pytest.raises(RemoteError, match=r"alpha|jump host"):
        connect(behind, through, timeout=5)
    behind = replace(behind, address=beta.address)
    with connect(behind, through, timeout=20) as runner:
        assert runner.run("hostname").stdout == "beta\n"
        assert runner.run("echo $SSH_CONNECTION").stdout.split()[0] == alpha.address
    other = replace(behind, jump=replace(jump, host_key=generate_key_pair().public))
    with pytest.raises(RemoteError, match=r"the jump host of beta .* which is another key"):
        connect(other, through, timeout=20)


def test_the_key_that_is_shown_is_the_host_s_and_another_one_is_refused_later(
    alpha: PlainHost, login: Login
) -> None:
    shown = shown_host_key(replace(machine(alpha), host_key=""), login, timeout=20)
    assert shown.text == alpha.host_key
    own = alpha.run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key").split()[1]
    assert shown.fingerprint == own
    changed = replace(machine(alpha), host_key=generate_key_pair().public)
    with pytest.raises(HostError, match=r"which is another key: .* No data was sent"):
        look(changed, login)


def test_a_host_that_does_not_answer_is_reported_with_a_next_step(
    alpha: PlainHost, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.machines.existing.hosts.CONNECT_SECONDS", 1.0)
    with pytest.raises(HostError, match=r"waited 1 s for SSH.*\nNext: check that the machine runs"):
        look(replace(machine(alpha), port=9), login)


def test_a_way_back_that_docker_would_hide_is_refused(
    hosts: PlainHosts, alpha: PlainHost, login: Login
) -> None:
    """Docker would take a network there that this machine's own Docker does not have.

    What leaves this machine from a network of its own Docker is masqueraded: it does not arrive
    from the address that the route names. Routes of the host keep its Docker off these networks.
    """
    on = machine(alpha)
    taken = [
        route["dst"]
        for route in json.loads(ip(hosts, "-json", "route", "show", "scope", "link"))
        if any(IPv4Network(route["dst"]).overlaps(network) for network in POOL)
        and IPv4Address(alpha.address) not in IPv4Network(route["dst"])
    ]
    for destination in taken:
        alpha.run(f"ip route add {destination} dev eth0")
    network = about_to_take(look(on, login)[on.name].routes, engine_runs=False)[-1]
    ours = str(network[-2])
    route = json.loads(ip(hosts, "-json", "route", "get", alpha.address))[0]
    ip(hosts, "address", "add", f"{ours}/32", "dev", "lo")
    try:
        ip(hosts, "route", "add", f"{alpha.address}/32", "dev", route["dev"], "src", ours)
        with pytest.raises(
            HostError, match=f"give {network} to .* your SSH connection comes from {ours}"
        ):
            look(on, login)
    finally:
        ip(hosts, "address", "del", f"{ours}/32", "dev", "lo")  # and with it the route
        for destination in taken:
            alpha.run(f"ip route del {destination} dev eth0")


def test_an_engine_that_is_too_old_is_refused_before_it_is_installed_or_started(
    alpha: PlainHost, login: Login
) -> None:
    on = machine(alpha)
    assert look(on, login)[on.name].offered_engine >= "25"
    old = "#!/bin/sh\necho Docker version 20.10.24+dfsg1, build 297e128\n"
    alpha.run(f"printf {quote(old)} > /usr/local/bin/dockerd; chmod +x /usr/local/bin/dockerd")
    try:
        with pytest.raises(HostError, match=r"the Docker engine 20\.10\.24.*25 or newer is needed"):
            look(on, login)
    finally:
        alpha.run("rm /usr/local/bin/dockerd")


def test_another_system_is_refused(alpha: PlainHost, login: Login) -> None:
    look(machine(alpha), login)
    alpha.run("cp -L /etc/os-release /tmp/kept; rm /etc/os-release")
    alpha.run("printf 'ID=fedora\\nVERSION_ID=41\\nPRETTY_NAME=Fedora\\n' > /etc/os-release")
    try:
        with pytest.raises(HostError, match=r"it runs Fedora; Debian 11, Ubuntu 20.04 and later"):
            look(machine(alpha), login)
    finally:
        alpha.run("cp /tmp/kept /etc/os-release")


def test_a_host_in_another_swarm_is_adopted_only_when_asked_and_keeps_its_engine(
    hosts: PlainHosts, alpha: PlainHost, login: Login
) -> None:
    """The engine that stays: the other end of what the end-to-end test removes."""
    on, lines = machine(alpha), list[str]()
    before = hosts.snapshot(alpha)
    with SshPool("", logins={on.name: login}) as pool:
        runner = pool.runner(on)
        runner.run(commands.INSTALL_NFTABLES, timeout=300)
        runner.run(commands.INSTALL_ENGINE, timeout=300)
        runner.run("docker swarm init")
        with pytest.raises(HostError, match="it is in another swarm"):
            look(on, login)
        assert "active" in runner.run("docker info --format '{{.Swarm.LocalNodeState}}'").stdout
        found = inspect([on], pool, stack=STACK, adopt=True, manager_ports=[8080])
        release = Release(stack="airflow")
        claim([on], found, pool, lines.append, stack=STACK, release=release)
        assert lines[0].startswith("alpha: left the swarm")
        assert alpha.run(f"cat {CLAIM_FILE}") == f"{STACK}\n"
        with pytest.raises(HostError, match="another stack of this project"):
            inspect([on], pool, stack="ffff0000", adopt=False, manager_ports=[8080])

        runner.run(commands.LOAD_FIREWALL, stdin=b"table inet dairflow { }\n")
        runner.run("docker volume create --label com.docker.stack.namespace=airflow data")
        runner.run("docker volume create of-the-owner")
        release_hosts([on], pool, lines.append, stack=STACK, release=release)
        assert runner.run("docker volume ls -q").stdout == "of-the-owner\n"
    after = hosts.snapshot(alpha)
    assert not [line for line in after["files"] if "dairflow" in line]
    assert not [line for line in after["packet filter"] if "dairflow" in line]
    assert "docker_gwbridge" not in after["devices"]
    installed = {line.split()[0] for line in after["packages"] - before["packages"]}
    assert {"docker.io", "nftables"} <= installed


def test_a_host_of_another_stack_loses_that_one_s_data_before_it_is_taken(
    alpha: PlainHost, login: Login
) -> None:
    """PostgreSQL would begin on the other's database, whose passwords the stack does not have."""
    on, lines, other = machine(alpha), list[str](), "ffff0000"
    release = Release(stack="airflow")
    data = "docker volume create --label com.docker.stack.namespace=airflow airflow_postgres"
    with SshPool("", logins={on.name: login}) as pool:
        runner = pool.runner(on)
        runner.run(commands.INSTALL_NFTABLES, timeout=300)
        runner.run(commands.INSTALL_ENGINE, timeout=300)
        found = inspect([on], pool, stack=other, adopt=False, manager_ports=[])
        claim([on], found, pool, lines.append, stack=other, release=release)
        runner.run(f"docker swarm init && {data} && docker volume create of-the-owner")

        found = inspect([on], pool, stack=STACK, adopt=True, manager_ports=[])
        reject_orphans([on], found, pool, stack=STACK)
        claim([on], found, pool, lines.append, stack=STACK, release=release)
        assert "alpha: left stack ffff0000 and removed its data, because `adopt` is set" in lines
        assert runner.run("docker volume ls -q").stdout == "of-the-owner\n"
        assert runner.run(f"cat {CLAIM_FILE}").stdout == f"{STACK}\n"
        look(on, login)

        runner.run(f"{data} && rm {CLAIM_FILE}")
        found = inspect([on], pool, stack=STACK, adopt=True, manager_ports=[])
        with pytest.raises(HostError, match=f"it has airflow_postgres, .*\nNext: .*{LEAVE_FILE}"):
            reject_orphans([on], found, pool, stack=STACK)
        runner.run(f"sh {LEAVE_FILE}")
        reject_orphans([on], found, pool, stack=STACK)
        runner.run("docker volume rm of-the-owner")


def test_an_engine_that_another_package_needs_by_now_goes_on_running(
    alpha: PlainHost, login: Login
) -> None:
    on, lines = machine(alpha), list[str]()
    with SshPool("", logins={on.name: login}) as pool:
        runner = pool.runner(on)
        runner.run(commands.INSTALL_NFTABLES, timeout=300)
        runner.run(commands.INSTALL_ENGINE, timeout=300)
        before = runner.run("iptables-save | grep -v '^[#:]'; ls /sys/class/net").stdout
        engine = runner.run("pgrep -x dockerd").stdout
        needing = (
            "Package: needing\nVersion: 1\nArchitecture: all\nDepends: docker.io\n"
            "Maintainer: nobody <nobody@localhost>\nDescription: needs Docker's engine\n"
        )
        runner.write_file("/root/needing/DEBIAN/control", needing.encode())
        runner.run("dpkg-deb --build /root/needing && dpkg -i /root/needing.deb")
        try:
            claimed = Release(stack="airflow", remove_engine=True)
            runner.write_file(CLAIM_FILE, f"{STACK}\n".encode())
            runner.write_file("/etc/dairflow/installed", b"docker.io\n")
            release_hosts([on], pool, lines.append, stack=STACK, release=claimed)
            assert lines[0] == "alpha: kept, because other packages need them: docker.io (needing)"
            assert runner.run("pgrep -x dockerd").stdout == engine
            after = runner.run("iptables-save | grep -v '^[#:]'; ls /sys/class/net").stdout
            assert after == before
        finally:
            runner.run("dpkg -P needing; rm -r /root/needing /root/needing.deb")
