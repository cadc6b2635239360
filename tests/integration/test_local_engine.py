"""The local target's machines on the real Docker engine: made, adopted, refused, removed."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest

from infra.images import engine as operators_engine
from infra.images import project_images
from infra.images.engine import EngineError, ImageError
from infra.machines.addresses import address
from infra.machines.local import engine as local_engine
from infra.machines.local.engine import LocalError, MachineSpec
from infra.remote.keys import generate_key_pair
from infra.remote.machine import Machine
from infra.remote.ssh import connect
from infra.resources.local import LocalMachineProvider, LocalNetworkProvider

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
NAME = "dairflow-test-engine"
OPERATOR = generate_key_pair()
HOST = generate_key_pair()


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def network() -> Iterator[local_engine.Network]:
    yield local_engine.ensure_network(NAME, "cluster-a", {})
    local_engine.remove_machine(f"{NAME}-worker-1")
    local_engine.remove_network(NAME)


@pytest.fixture
def spec(network: local_engine.Network) -> MachineSpec:
    return MachineSpec(
        container=f"{NAME}-worker-1",
        hostname="worker-1",
        cluster="cluster-a",
        network=NAME,
        private_address=address(network.subnet, "worker", 1),
        ports={22: 0},
        host_key=HOST.private,
        host_public_key=HOST.public,
        authorized_key=OPERATOR.public,
    )


def host_name(spec: MachineSpec, ports: Mapping[int, int]) -> str:
    """Query the machine itself, over SSH with the planted keys."""
    machine = Machine(
        name=spec.hostname,
        role="worker",
        address="127.0.0.1",
        port=ports[22],
        host_key=spec.host_public_key,
        private_address=spec.private_address,
    )
    with connect(machine, OPERATOR.private, timeout=60) as runner:
        return runner.run("hostname; ip -4 -o address show eth0").stdout


def mark_the_disk(spec: MachineSpec, client: docker.DockerClient) -> None:
    marked = client.containers.get(spec.container).exec_run("touch /var/lib/docker/marked")
    assert marked.exit_code == 0


def has_the_marked_disk(spec: MachineSpec, client: docker.DockerClient) -> bool:
    node = client.containers.get(spec.container)
    return node.exec_run("test -e /var/lib/docker/marked").exit_code == 0


def test_a_machine_answers_with_its_keys_name_and_address(spec: MachineSpec) -> None:
    ports = local_engine.ensure_machine(spec, {})
    printed = host_name(spec, ports)
    assert printed.startswith("worker-1\n")
    assert spec.private_address in printed


def test_what_runs_as_wanted_is_left_alone(spec: MachineSpec, client: docker.DockerClient) -> None:
    ports = local_engine.ensure_machine(spec, {})
    first = client.containers.get(spec.container).id
    assert local_engine.ensure_machine(spec, {}) == ports
    assert client.containers.get(spec.container).id == first


def test_a_stopped_machine_is_started_again(spec: MachineSpec, client: docker.DockerClient) -> None:
    ports = local_engine.ensure_machine(spec, {})
    client.containers.get(spec.container).stop()
    assert local_engine.is_running(spec.container) is False
    assert local_engine.ensure_machine(spec, ports) == ports
    assert local_engine.is_running(spec.container) is True
    assert host_name(spec, ports).startswith("worker-1\n")


def test_a_rotated_operators_key_leaves_the_container(
    spec: MachineSpec, client: docker.DockerClient
) -> None:
    ports = local_engine.ensure_machine(spec, {})
    first = client.containers.get(spec.container).id
    rotated = replace(spec, authorized_key=generate_key_pair().public)
    assert local_engine.ensure_machine(rotated, ports) == ports
    assert client.containers.get(spec.container).id == first


def test_a_machine_without_its_container_is_recreated_with_its_disk_and_ports(
    spec: MachineSpec, client: docker.DockerClient
) -> None:
    ports = local_engine.ensure_machine(spec, {})
    mark_the_disk(spec, client)
    client.containers.get(spec.container).remove(force=True, v=True)
    assert local_engine.is_running(spec.container) is False
    assert local_engine.ensure_machine(spec, ports) == ports
    assert has_the_marked_disk(spec, client)
    assert host_name(spec, ports).startswith("worker-1\n")


def test_a_stopped_machine_starts_in_a_recreated_network(
    spec: MachineSpec, network: local_engine.Network, client: docker.DockerClient
) -> None:
    """As after ``docker network prune``: the container still has the former network's ID."""
    ports = local_engine.ensure_machine(spec, {})
    mark_the_disk(spec, client)
    client.containers.get(spec.container).stop()
    client.networks.get(NAME).remove()
    anew = local_engine.ensure_network(NAME, "cluster-a", {}, subnet=network.subnet)
    assert anew == network
    assert local_engine.ensure_machine(spec, ports) == ports
    assert has_the_marked_disk(spec, client)
    assert spec.private_address in host_name(spec, ports)


def test_a_network_that_was_removed_comes_back_with_its_subnet(
    network: local_engine.Network, client: docker.DockerClient
) -> None:
    provider = LocalNetworkProvider()
    props = {"network": NAME, "cluster": "cluster-a", "published": {}, "present": True}
    known = {**props, **asdict(network)}
    client.networks.get(NAME).remove()
    found = provider.read(NAME, known)
    assert found.id == NAME
    assert provider.diff(NAME, found.outs, props).changes
    elsewhere = {**found.outs, "subnet": "10.213.252.0/22"}
    assert provider.update(NAME, elsewhere, props).outs["subnet"] == "10.213.252.0/22"
    assert local_engine.read_network(NAME).subnet == "10.213.252.0/22"


def test_another_port_recreates_it_with_the_same_disk(
    spec: MachineSpec, client: docker.DockerClient
) -> None:
    ports = local_engine.ensure_machine(spec, {})
    first = client.containers.get(spec.container)
    mark_the_disk(spec, client)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    changed = local_engine.ensure_machine(replace(spec, ports={22: 0, 8080: free}), ports)
    assert changed == {22: ports[22], 8080: free}
    assert client.containers.get(spec.container).id != first.id
    assert has_the_marked_disk(spec, client)


def test_a_container_that_an_interrupted_run_left_is_recreated(
    spec: MachineSpec, client: docker.DockerClient
) -> None:
    left = client.containers.create(
        project_images.reference("node"),
        name=spec.container,
        labels={local_engine.CLUSTER_LABEL: spec.cluster},
    )
    left.reload()
    (anonymous,) = [mount["Name"] for mount in left.attrs["Mounts"]]
    ports = local_engine.ensure_machine(spec, {})
    assert host_name(spec, ports).startswith("worker-1\n")
    assert anonymous not in {volume.name for volume in client.volumes.list()}


def test_a_port_in_use_is_refused_and_the_machine_stays(spec: MachineSpec) -> None:
    ports = local_engine.ensure_machine(spec, {})
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(LocalError, match=rf"port {taken} on 127.0.0.1 cannot be used"):
            local_engine.ensure_machine(replace(spec, ports={22: 0, 8080: taken}), ports)
        named = replace(spec, ports={22: 0, 5555: taken}, port_settings={taken: "flowerPort"})
        with pytest.raises(LocalError, match=r"another: `pulumi config set flowerPort \d+`"):
            local_engine.ensure_machine(named, ports)
    assert host_name(spec, ports).startswith("worker-1\n")


def test_another_clusters_machine_is_never_touched(
    spec: MachineSpec, client: docker.DockerClient
) -> None:
    local_engine.ensure_machine(spec, {})
    first = client.containers.get(spec.container).id
    for_it = "(?s)this stack did not create it.*If nobody needs it: `docker"
    with pytest.raises(LocalError, match=f"{for_it} container rm -f {spec.container}`"):
        local_engine.ensure_machine(replace(spec, cluster="cluster-b"), {})
    with pytest.raises(LocalError, match=f"{for_it} network rm {NAME}`"):
        local_engine.ensure_network(NAME, "cluster-b", {})
    assert client.containers.get(spec.container).id == first


def test_the_delete_of_a_renamed_resource_leaves_what_the_new_one_adopted(
    spec: MachineSpec, client: docker.DockerClient
) -> None:
    """As Pulumi does it: the new name's create adopts the machine, then the old name is deleted."""
    provider, props = LocalMachineProvider(), inputs(spec)
    former = provider.create(props).outs
    mark_the_disk(spec, client)
    adopting = provider.create(props).outs
    provider.delete(spec.container, former)
    assert has_the_marked_disk(spec, client)

    networks = LocalNetworkProvider()
    networks.delete(NAME, {"cluster": spec.cluster})
    assert local_engine.read_network(NAME) is not None

    # Its disk alone identifies its owner, too.
    client.containers.get(spec.container).remove(force=True, v=True)
    provider.delete(spec.container, former)
    provider.update(spec.container, adopting, props)
    assert has_the_marked_disk(spec, client)
    provider.delete(spec.container, adopting)
    assert local_engine.is_running(spec.container) is None


def test_a_rename_that_was_taken_back_owns_its_machine_again(spec: MachineSpec) -> None:
    provider, props = LocalMachineProvider(), inputs(spec)
    former = provider.create(props).outs
    provider.create(props)  # of the new name, in an update that failed later
    drifted = provider.read(spec.container, former).outs
    assert provider.diff(spec.container, drifted, props).changes
    owned = provider.update(spec.container, drifted, props).outs
    assert not provider.diff(spec.container, owned, props).changes
    provider.delete(spec.container, owned)
    assert local_engine.is_running(spec.container) is None


def inputs(spec: MachineSpec) -> dict[str, Any]:
    """Return a machine's inputs as Pulumi hands them over."""
    given = {key: value for key, value in asdict(spec).items() if key != "owner"}
    ports = {str(inner): outer for inner, outer in spec.ports.items()}
    return {
        **given,
        "ports": ports,
        "port_settings": {},
        "image": project_images.reference("node"),
        "running": True,
        "published": None,
    }


def test_removal_takes_the_disk_too_and_may_be_repeated(
    spec: MachineSpec, client: docker.DockerClient
) -> None:
    local_engine.ensure_machine(spec, {})
    local_engine.remove_machine(spec.container)
    local_engine.remove_machine(spec.container)
    assert local_engine.is_running(spec.container) is None
    with pytest.raises(docker.errors.NotFound):
        client.volumes.get(spec.container)


def test_a_disk_that_is_long_to_delete_is_not_waited_for_and_goes_all_the_same(
    spec: MachineSpec, client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_engine.ensure_machine(spec, {})
    many = "cd /var/lib/docker && mkdir many && cd many && seq 40000 | xargs touch"
    assert client.containers.get(spec.container).exec_run(["sh", "-c", many]).exit_code == 0
    monkeypatch.setattr(local_engine, "VOLUME_SECONDS", 0.05)
    assert local_engine.remove_machine(spec.container) is False
    assert spec.container not in {volume.name for volume in client.volumes.list()}
    assert local_engine.is_running(spec.container) is None


def test_disks_that_are_deleted_at_once_all_go_although_nobody_waits(
    network: local_engine.Network, spec: MachineSpec, client: docker.DockerClient
) -> None:
    """One is deleted after the other: a deletion that waits must not end with its caller."""
    names = [f"{NAME}-worker-{number}" for number in (1, 2, 3)]
    for number, name in enumerate(names, 1):
        each = replace(
            spec, container=name, private_address=address(network.subnet, "worker", number)
        )
        local_engine.ensure_machine(each, {})
        many = "cd /var/lib/docker && mkdir many && cd many && seq 40000 | xargs touch"
        assert client.containers.get(name).exec_run(["sh", "-c", many]).exit_code == 0
    code = "import sys; from infra.machines.local import engine as local_engine; "
    code += "local_engine.VOLUME_SECONDS = 0.01; local_engine.remove_machine(sys.argv[1])"
    removals = [subprocess.Popen([sys.executable, "-c", code, name], cwd=ROOT) for name in names]
    assert [removal.wait(60) for removal in removals] == [0, 0, 0]
    deadline = time.monotonic() + 120
    while left := {volume.name for volume in client.volumes.list()} & set(names):
        assert time.monotonic() < deadline, left
        time.sleep(0.5)


def test_a_machine_is_made_again_on_a_new_disk_while_the_old_one_is_deleted(
    spec: MachineSpec, client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_engine.ensure_machine(spec, {})
    many = "cd /var/lib/docker && mkdir many && cd many && seq 40000 | xargs touch"
    assert client.containers.get(spec.container).exec_run(["sh", "-c", many]).exit_code == 0
    with monkeypatch.context() as short:
        short.setattr(local_engine, "VOLUME_SECONDS", 0.05)
        assert local_engine.remove_machine(spec.container) is False
    ports = local_engine.ensure_machine(spec, {})
    assert host_name(spec, ports).startswith("worker-1\n")
    look = client.containers.get(spec.container).exec_run("ls -d /var/lib/docker/many")
    assert look.exit_code != 0


def test_a_port_in_use_names_its_own_setting_before_anything_is_made() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        published = {"webPort": 0, "flowerPort": other.getsockname()[1]}
        with pytest.raises(LocalError, match=r"another: `pulumi config set flowerPort \d+`"):
            local_engine.ensure_network(f"{NAME}-3", "cluster-a", published)
    assert local_engine.read_network(f"{NAME}-3") is None


def test_two_networks_never_overlap(network: local_engine.Network) -> None:
    from ipaddress import IPv4Network

    other = local_engine.ensure_network(f"{NAME}-2", "cluster-a", {})
    try:
        assert not IPv4Network(other.subnet).overlaps(IPv4Network(network.subnet))
    finally:
        local_engine.remove_network(f"{NAME}-2")


def test_a_full_disk_is_reported_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    full = SimpleNamespace(free=3 * 10**9)
    monkeypatch.setattr(local_engine.shutil, "disk_usage", lambda _: full)
    with pytest.raises(LocalError, match=r"3\.0 GB are free .* a cluster needs 8 GB"):
        local_engine.ensure_network(f"{NAME}-3", "cluster-a", {})
    assert local_engine.read_network(f"{NAME}-3") is None


def test_a_missing_node_image_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_images, "reference", "dairflow/{}:absent".format)
    with pytest.raises(ImageError, match=r"the image dairflow/node:absent: run `make setup`"):
        local_engine.ensure_network(f"{NAME}-3", "cluster-a", {})
    assert local_engine.read_network(f"{NAME}-3") is None


def test_no_docker_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(EngineError, match="Docker does not answer on this machine"):
        local_engine.read_network(NAME)


def test_an_image_that_was_built_elsewhere_cannot_be_pushed() -> None:
    with pytest.raises(ImageError, match=r"does not have the image 127\.0\.0\.1:9/nothing:there"):
        operators_engine.push("127.0.0.1:9/nothing:there", user="AWS", password="token")


@pytest.mark.parametrize(
    ("silence", "error", "expected"),
    [
        (1, EngineError, "did not answer within 1 s"),
        (60, ImageError, "could not be pushed: .*418"),
    ],
)
def test_a_push_to_a_slow_registry_takes_its_time(
    client: docker.DockerClient,
    monkeypatch: pytest.MonkeyPatch,
    silence: int,
    error: type[Exception],
    expected: str,
) -> None:
    monkeypatch.setattr(operators_engine, "SILENCE_SECONDS", silence)
    with slow_registry(seconds=3) as address:
        name = f"{address}/dairflow-test/slow:engine"
        client.images.get(project_images.reference("node")).tag(name)
        try:
            with pytest.raises(error, match=expected):
                operators_engine.push(name, user="AWS", password="token")
        finally:
            client.images.remove(name, noprune=True)


@contextlib.contextmanager
def slow_registry(seconds: float) -> Iterator[str]:
    """Serve a registry that answers each request late, and then with an error."""

    class Late(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/v2/":
                time.sleep(seconds)
            self.send_response(200 if self.path == "/v2/" else 418)
            self.end_headers()

        do_HEAD = do_POST = do_GET  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Late) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_push_that_fails_is_reported_without_the_password(
    client: docker.DockerClient,
) -> None:
    name = "127.0.0.1:9/dairflow-test/push:engine"
    client.images.get(project_images.reference("node")).tag(name)
    try:
        with pytest.raises(
            ImageError, match=r"could not be pushed: .*connection refused"
        ) as caught:
            operators_engine.push(name, user="AWS", password="hush-hush")
        assert "rerun the command" in str(caught.value)
        assert "hush-hush" not in str(caught.value)
    finally:
        client.images.remove(name, noprune=True)
