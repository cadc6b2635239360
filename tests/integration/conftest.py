"""Real node containers on a bridge network of their own, and a joined cluster of three.

Everything carries the label `LABEL` with the test process's number, and is removed with its volumes
when the session ends; what a killed session left is swept by the next one.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import pytest
from docker.errors import APIError, ImageNotFound
from docker.types import IPAMConfig, IPAMPool

from infra.firewall import Policy
from infra.images import project_images
from infra.machines import node_container
from infra.remote.keys import generate_key_pair
from infra.remote.machine import Machine
from infra.remote.pool import SshPool
from infra.swarm.cluster import Cluster, ClusterState
from infra.swarm.reconcile import reconcile
from tests.network_addresses import addresses_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.models.containers import Container

    from infra.remote.machine import Role

LABEL = "dairflow.test"
SUBNETS = IPv4Network("10.214.0.0/16")
ROOT = Path(__file__).parents[2]
PROBE_IMAGE = "dairflow/probe:latest"
"""A few megabytes with a shell, sleep and perl, for containers on the nodes; see `probe_image`."""


class Lab:
    """Makes machines, and removes them."""

    def __init__(self, client: docker.DockerClient, mark: str, name: str) -> None:
        """Make the network. ``mark`` is the value of `LABEL`."""
        self.client = client
        self.labels = {LABEL: mark}
        self.name = f"dairflow-test-{mark}-{name}"
        self.network = self._make_network()
        self.subnet, self.gateway = addresses_of(self.network)
        self.operator = generate_key_pair()
        self.pool = SshPool(self.operator.private, connect_timeout=30)
        self.reports: list[str] = []

    def machine(self, name: str, *, labels: dict[str, str] | None = None) -> Machine:
        """Start a node that is called ``manager-N`` or ``worker-N``; does not wait for its sshd."""
        role, number = name.split("-")
        address = str(self.subnet[(10 if role == "manager" else 100) + int(number)])
        host_key = generate_key_pair()
        node_container.start(
            self.client,
            name=self.container_name(name),
            hostname=name,
            network=self.name,
            address=address,
            volume=self.container_name(name),
            ports={},
            labels=self.labels,
            host_key=host_key.private,
            authorized_key=self.operator.public,
        )
        return Machine(
            name=name,
            role=_role(role),
            address=address,
            host_key=host_key.public,
            private_address=address,
            labels=labels or {},
        )

    def machines(self, *names: str) -> tuple[Machine, ...]:
        """Start several nodes side by side."""
        with ThreadPoolExecutor(len(names)) as threads:
            return tuple(threads.map(self.machine, names))

    def outsider(self, name: str = "outsider") -> Container:
        """Start a container on the nodes' network that is not a member of the cluster."""
        return self.client.containers.run(
            project_images.reference("base"),
            ["sleep", "infinity"],
            name=self.container_name(name),
            network=self.name,
            labels=self.labels,
            init=True,
            detach=True,
        )

    def container_name(self, name: str) -> str:
        """Return the name that a machine's container and volume have."""
        return f"{self.name}-{name}"

    def container(self, name: str) -> Container:
        """Return a machine's container."""
        return self.client.containers.get(self.container_name(name))

    def restart(self, *machines: Machine) -> None:
        """Restart machines, and forget their connections."""
        for machine in machines:
            self.container(machine.name).restart()
        self.pool.close()
        self.pool = SshPool(self.operator.private, connect_timeout=30)

    def remove(self, name: str) -> None:
        """Remove a machine and its disk, as abruptly as pulling the plug."""
        self.container(name).remove(force=True, v=True)
        with contextlib.suppress(APIError):
            self.client.volumes.get(self.container_name(name)).remove()

    def run(self, machine: Machine, command: str, **options: Any) -> str:
        """Run a command on a machine over SSH and return what it printed."""
        return self.pool.runner(machine).run(command, **options).stdout

    def report(self, line: str) -> None:
        """Keep a line of progress; pytest shows it when a test fails."""
        print(line)  # noqa: T201
        self.reports.append(line)

    def policy(self, **changes: Any) -> Policy:
        """Return a policy that admits this machine as operator, and no clients."""
        policy = Policy(operator_cidrs=(f"{self.gateway}/32",), client_cidrs=())
        return replace(policy, **changes)

    def close(self) -> None:
        """Remove everything."""
        self.pool.close()
        _remove(self.client, self.labels[LABEL], self.name)

    def _make_network(self) -> Any:
        for subnet in SUBNETS.subnets(new_prefix=24):
            ipam = IPAMConfig(pool_configs=[IPAMPool(subnet=str(subnet))])
            try:
                network = self.client.networks.create(
                    self.name, driver="bridge", ipam=ipam, labels=self.labels
                )
            except APIError as exc:
                if "overlap" not in str(exc):
                    raise
                continue
            network.reload()
            return network
        message = f"no free subnet in {SUBNETS}"
        raise RuntimeError(message)


class Trio:
    """A manager and two workers, joined; a test that changes it brings it back with `restore`."""

    def __init__(self, lab: Lab) -> None:
        """Start the machines and join them."""
        self.lab = lab
        machines = lab.machines("manager-1", "worker-1", "worker-2")
        self.cluster = Cluster(
            name="trio", machines=machines, firewall=lab.policy(), drain_timeout=60
        )
        self.state = self.reconcile(self.cluster)

    @property
    def manager(self) -> Machine:
        """The only manager."""
        return self.cluster.machines[0]

    def with_machines(self, *more: Machine) -> Cluster:
        """Return the cluster with more machines."""
        return replace(self.cluster, machines=(*self.cluster.machines, *more))

    def reconcile(self, cluster: Cluster, **options: Any) -> ClusterState:
        """Reconcile, keeping the lines of progress in ``lab.reports``."""
        self.lab.reports.clear()
        return reconcile(cluster, self.lab.pool, self.lab.report, **options)

    def restore(self, *leaving: Machine) -> ClusterState:
        """Bring the three back, and let others go."""
        return self.reconcile(self.cluster, leaving=leaving)

    def docker(self, command: str) -> str:
        """Run ``docker`` on the manager."""
        return self.lab.run(self.manager, f"docker {command}").strip()

    def load(self, image: bytes, *machines: Machine) -> None:
        """Give the machines' engines the probe image."""
        for machine in machines:
            self.lab.run(machine, f"docker import - {PROBE_IMAGE}", stdin=image)


@pytest.fixture(scope="session")
def docker_client() -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=120)
    yield client
    client.close()


@pytest.fixture(scope="session")
def test_mark(docker_client: docker.DockerClient) -> str:
    """The value of `LABEL` in this session; sweeps what killed sessions left."""
    for mark in _marks(docker_client):
        if not Path("/proc", mark).exists():
            _remove(docker_client, mark)
    return str(os.getpid())


@pytest.fixture(scope="session")
def node_image(docker_client: docker.DockerClient) -> str:
    """The node image, which set-up has made."""
    image = project_images.reference("node")
    try:
        docker_client.images.get(image)
    except ImageNotFound:
        pytest.fail(f"{image} is not in the engine: run `make setup`")
    return image


@pytest.fixture(scope="session")
def compose_command() -> list[str]:
    """Return Docker's plugin if there is one, else the program that set-up has made."""
    plugin = ["docker", "compose"]
    if subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode == 0:
        return plugin
    program = ROOT / ".dairflow" / "bin" / "docker-compose"
    if not program.exists():
        pytest.fail("Docker Compose is not installed: run `make setup`")
    return [str(program)]


@pytest.fixture(scope="session")
def lab(docker_client: docker.DockerClient, test_mark: str, node_image: str) -> Iterator[Lab]:
    """A network for machines, shared by the whole session."""
    del node_image
    lab = Lab(docker_client, test_mark, "main")
    yield lab
    lab.close()


@pytest.fixture
def own_lab(docker_client: docker.DockerClient, test_mark: str, node_image: str) -> Iterator[Lab]:
    """A network for one test's machines."""
    del node_image
    lab = Lab(docker_client, test_mark, f"own{time.monotonic_ns()}")
    yield lab
    lab.close()


@pytest.fixture(scope="session")
def trio(lab: Lab) -> Trio:
    """A joined manager with two workers, shared by the whole session."""
    return Trio(lab)


@pytest.fixture(scope="session")
def probe_image(docker_client: docker.DockerClient, test_mark: str) -> bytes:
    """A file system for `PROBE_IMAGE`: the base image's shell, sleep and perl."""
    container = docker_client.containers.run(
        project_images.reference("base"),
        ["sh", "-c", f"cd / && tar -cf /tmp/probe.tar {_PROBE_FILES} && sleep infinity"],
        labels={LABEL: test_mark},
        init=True,
        detach=True,
    )
    try:
        return _read_when_written(container)
    finally:
        container.remove(force=True)


_PROBE_FILES = (
    "bin lib lib64 usr/bin/sh usr/bin/dash usr/bin/sleep usr/bin/perl usr/lib64"
    " $(ls usr/lib/*-linux-gnu/libc.so* usr/lib/*-linux-gnu/libm.so*"
    " usr/lib/*-linux-gnu/libcrypt.so* usr/lib/*-linux-gnu/ld-linux*)"
    " usr/lib/*-linux-gnu/perl-base"
)


def _read_when_written(container: Container) -> bytes:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        running = container.exec_run(["pidof", "sleep"]).exit_code == 0
        if running:
            chunks, _ = container.get_archive("/tmp/probe.tar")  # noqa: S108 - in the container
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as outer:
                inner = outer.extractfile("probe.tar")
                assert inner is not None
                return inner.read()
        time.sleep(0.1)
    message = f"waited 30 s for the probe image's files: {container.logs()!r}"
    raise TimeoutError(message)


def _role(word: str) -> Role:
    return "manager" if word == "manager" else "worker"


def _marks(client: docker.DockerClient) -> set[str]:
    filters = {"label": LABEL}
    found = [c.labels for c in client.containers.list(all=True, filters=filters)]
    found += [n.attrs["Labels"] for n in client.networks.list(filters=filters)]
    return {labels[LABEL] for labels in found}


def _remove(client: docker.DockerClient, mark: str, prefix: str = "") -> None:
    filters = {"label": f"{LABEL}={mark}"}
    containers = client.containers.list(all=True, filters=filters)
    doomed = [container for container in containers if container.name.startswith(prefix)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda container: container.remove(force=True, v=True), doomed))
    for volume in client.volumes.list(filters={"name": prefix or f"dairflow-test-{mark}-"}):
        volume.remove()
    for network in client.networks.list(filters=filters):
        if network.name.startswith(prefix):
            network.remove()
