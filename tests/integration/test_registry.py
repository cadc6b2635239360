"""The registry on a real engine with each image store, and the removal of former releases.

The operator's engine gives the machine the registry's image, and pushes: this machine's own engine
through the tunnel (Docker's store), and another machine's (containerd's store, as Docker 29 and
newer have it). The machine pushes and pulls as well. A release is an image of one small layer.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import docker
import pytest

from infra import credentials
from infra.images import engine as operators_engine
from infra.images import project_images, registry
from infra.images import retention as image_retention
from infra.remote import tunnel
from infra.remote.runner import RemoteError
from tools.plugins.docker.docker_stand_in.build import BuildRequest, build
from tools.plugins.docker.docker_stand_in.cancellation import Cancellation
from tools.plugins.docker.docker_stand_in.connection import connect
from tools.plugins.docker.docker_stand_in.context import BuildContext

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.remote.machine import Machine
    from infra.remote.runner import Runner

pytestmark = pytest.mark.integration

PASSWORD = "registry-password"
RELEASES = 5
KEPT = 2
ENGINE_PORT = 2375


def keep_images_in(store: str, lab: Any, machine: Machine, **options: object) -> None:
    """Choose a machine's image store, and give its engine other options."""
    if store == "containerd":
        settings = json.loads(lab.run(machine, "cat /etc/docker/daemon.json"))
        settings |= {"features": {"containerd-snapshotter": True}, **options}
        runner = lab.pool.runner(machine)
        runner.write_file("/etc/docker/daemon.json", json.dumps(settings).encode())
        lab.restart(machine)
    answers = "until docker version >/dev/null 2>&1; do sleep 0.2; done"
    lab.run(machine, f"timeout 60 sh -c '{answers}'")
    status = lab.run(machine, "docker info --format '{{.DriverStatus}}'")
    assert ("io.containerd.snapshotter" in status) == (store == "containerd"), status


class Site:
    """A machine with the registry, its trust in it, and releases pushed and pulled there."""

    def __init__(self, lab: Any, base: bytes, store: str) -> None:
        self.lab = lab
        self.machine = lab.machine("manager-1")
        keep_images_in(store, lab, self.machine)
        address = self.machine.private_address
        self.address = f"{address}:{registry.PORT}"
        certificate = credentials.registry_certificate([address])
        self.endpoint = registry.Endpoint(
            host=address,
            port=registry.PORT,
            authority=certificate.authority,
            password=PASSWORD,
        )
        self.spec = registry.RegistrySpec(
            image=project_images.reference("registry"),
            certificate=certificate.certificate,
            private_key=certificate.private_key,
            password=PASSWORD,
        )
        registry.ensure(
            self.runner, self.spec, save_image=lambda: operators_engine.archive(self.spec.image)
        )
        self.run(f"mkdir -p /etc/docker/certs.d/{self.address}")
        self.runner.write_file(
            f"/etc/docker/certs.d/{self.address}/ca.crt", certificate.authority.encode()
        )
        self.run(
            f"docker login -u {registry.user_of(PASSWORD)} --password-stdin {self.address}",
            stdin=PASSWORD.encode(),
        )
        self.run("docker import - other/probe:latest", stdin=base)
        self.references = [self.release(number) for number in range(RELEASES)]

    @property
    def runner(self) -> Runner:
        return self.lab.pool.runner(self.machine)

    def run(self, command: str, **options: Any) -> str:
        return self.runner.run(command, **options).stdout.strip()

    def dial(self) -> Any:
        """Open a channel to the registry through SSH, as the operator's tunnel does."""
        return self.lab.pool.runner(self.machine).dial("127.0.0.1", registry.PORT)

    @functools.cached_property
    def newer_engine(self) -> str:
        """The `DOCKER_HOST` of another machine's engine, with containerd's store."""
        machine = self.lab.machine("worker-1")
        keep_images_in(
            "containerd",
            self.lab,
            machine,
            **{
                "hosts": ["unix://", f"tcp://0.0.0.0:{ENGINE_PORT}"],
                "tls": False,  # explicit, so that the engine starts without its delay
                "insecure-registries": [self.address],
            },
        )
        return f"tcp://{machine.private_address}:{ENGINE_PORT}"

    def release(self, number: int) -> str:
        """Push a release, and pull it as the swarm does; its layer has half a megabyte."""
        name = f"{self.address}/app"
        self.run(
            f"c=$(docker run -d other/probe:latest sh -c 'exec perl -e \"srand {number};"
            f" print chr rand 256 for 1..500000\" >/layer') && docker wait $c >/dev/null"
            f" && docker commit $c {name}:{number} && docker rm $c"
            f" && docker push -q {name}:{number} && docker rmi {name}:{number}"
        )
        reference = f"{name}@{registry.digest(self.endpoint, 'app', str(number))}"
        self.run(f"docker pull -q {reference}")
        return reference

    def images(self) -> set[str]:
        listed = self.run("docker image ls --digests --format '{{.Repository}}@{{.Digest}}'")
        return {line for line in listed.split() if line.startswith(f"{self.address}/")}

    def registry_bytes(self) -> int:
        folder = self.run(f"docker volume inspect -f '{{{{.Mountpoint}}}}' {registry.VOLUME}")
        return int(self.run(f"du -sb {folder}").split()[0])

    def clean_node(self, kept: list[str]) -> list[str]:
        printed: list[str] = []
        image_retention.clean_node(
            self.runner, owned=[f"{self.address}/"], kept=kept, report=printed.append
        )
        return printed


@pytest.fixture(scope="module", params=["classic", "containerd"])
def site(
    request: pytest.FixtureRequest,
    docker_client: docker.DockerClient,
    test_mark: str,
    lab: Any,
    probe_image: bytes,
) -> Iterator[Site]:
    own = type(lab)(docker_client, test_mark, f"images-{request.param}")
    try:
        yield Site(own, probe_image, request.param)
    finally:
        own.close()


def test_a_pushed_image_runs_by_its_digest(site: Site) -> None:
    site.run(f"docker rmi {site.references[0]}")
    size = site.run(
        f"docker run --rm {site.references[0]} sh -c 'exec perl -e \"print -s q(/layer)\"'"
    )
    assert int(size) == 500_000
    layers = "docker image inspect --format '{{len .RootFS.Layers}}'"
    counts = [int(site.run(f"{layers} {one}")) for one in ("other/probe", site.references[0])]
    assert counts == [1, 2]


def test_what_runs_stays_until_its_successor_is_there(site: Site) -> None:
    before = site.run(f"docker inspect --format '{{{{.State.StartedAt}}}}' {registry.CONTAINER}")
    unknown = replace(site.spec, image="dairflow/registry:no-such-image")
    with pytest.raises(RemoteError):
        registry.ensure(site.runner, unknown, save_image=lambda: b"this is not an archive")
    with pytest.raises(RemoteError, match="No such image"):
        registry.ensure(
            site.runner, unknown, save_image=lambda: operators_engine.archive(site.spec.image)
        )
    after = site.run(f"docker inspect --format '{{{{.State.StartedAt}}}}' {registry.CONTAINER}")
    assert after == before

    other = credentials.registry_certificate([site.machine.private_address])
    renewed = replace(site.spec, certificate=other.certificate, private_key=other.private_key)
    registry.ensure(site.runner, renewed, save_image=pytest.fail)
    endpoint = replace(site.endpoint, authority=other.authority)
    assert registry.digest(endpoint, "app", "0"), "the images outlive the registry's container"
    former = f"{registry.REPOSITORY}:former"
    site.run(f"docker tag other/probe:latest {former}")
    registry.ensure(site.runner, site.spec, save_image=pytest.fail)
    names = site.run(
        f"docker image ls --format '{{{{.Repository}}}}:{{{{.Tag}}}}' {registry.REPOSITORY}"
    )
    assert names == site.spec.image, "former images of the registry go"


def test_a_node_keeps_the_newest_releases_and_what_is_in_use(site: Site) -> None:
    in_use, ended, *_ = site.references
    namespace = "--label com.docker.stack.namespace=airflow"
    running = site.run(f"docker run -d {namespace} {in_use} sleep 600")
    site.run(f"docker run {namespace} {ended} sh -c :")
    others = site.run(f"docker run -d --label owner=other {site.references[2]} sh -c :")
    site.run(f"docker wait {others}")
    assert site.images() == set(site.references)

    printed = site.clean_node(site.references[-KEPT:])
    assert site.images() == {in_use, site.references[2], *site.references[-KEPT:]}
    assert len(printed) == 2, printed
    assert site.run("docker image ls -q other/probe:latest")

    site.run(f"docker rm -f {running} {others}")
    assert site.clean_node(site.references[-KEPT:]) == []
    assert site.images() == set(site.references[-KEPT:])
    assert site.run("docker image ls -q other/probe:latest")


def test_the_former_password_pulls_until_the_next_rotation(site: Site) -> None:
    def is_accepted(password: str) -> bool:
        login = f"docker login -u {registry.user_of(password)} --password-stdin {site.address}"
        return not site.runner.run(login, stdin=password.encode(), check=False).failed

    def rotate(password: str, former: str) -> None:
        spec = replace(site.spec, password=password, former_password=former)
        registry.ensure(site.runner, spec, save_image=pytest.fail)

    rotate("second", PASSWORD)
    assert is_accepted(PASSWORD)
    site.run(f"docker rmi {site.references[-1]} && docker pull -q {site.references[-1]}")
    assert is_accepted("second")
    rotate("third", "second")
    assert [is_accepted(each) for each in (PASSWORD, "second", "third")] == [False, True, True]
    registry.ensure(site.runner, site.spec, save_image=pytest.fail)
    assert is_accepted(PASSWORD)


def test_the_registry_keeps_the_newest_releases_and_goes_on(site: Site) -> None:
    kept = site.references[-KEPT:]
    before = site.registry_bytes()
    deleted = image_retention.clean_registry(site.runner, site.endpoint, kept=kept)
    assert deleted == RELEASES - KEPT
    assert before - site.registry_bytes() > 450_000 * (RELEASES - KEPT)
    for number in range(RELEASES):
        found = registry.digest(site.endpoint, "app", str(number))
        assert bool(found) == (number >= RELEASES - KEPT)

    site.run(f"docker rmi {kept[0]} && docker pull -q {kept[0]}")
    assert site.release(0) in site.images(), "a release that was deleted is pushed and pulled again"


def test_the_registry_runs_after_a_collection_that_fails(site: Site) -> None:
    """It is stopped meanwhile, whatever becomes of it."""
    broken = image_retention.COLLECT.replace("config.yml", "no-such.yml")
    assert site.runner.run(broken, check=False).exit_status != 0
    assert registry.fingerprint(site.runner)


def test_the_registrys_log_is_bounded(site: Site) -> None:
    options = site.run(
        f"docker inspect --format '{{{{json .HostConfig.LogConfig}}}}' {registry.CONTAINER}"
    )
    assert '"max-size":"10m"' in options
    assert re.search(r'"max-file":"\d"', options)


def test_the_registry_has_no_privilege_and_cannot_change_its_programs(site: Site) -> None:
    shown = site.run(
        "docker inspect --format '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}"
        f" {{{{.HostConfig.SecurityOpt}}}} {{{{.HostConfig.Memory}}}}' {registry.CONTAINER}"
    )
    assert shown == f"true [ALL] [no-new-privileges] {512 * 1024 * 1024}"


@dataclass(frozen=True)
class Operator:
    """The operator's engine, and the registry's address as it pushes there."""

    engine: Any
    registry: str


@pytest.fixture(params=["classic", "containerd"])
def operator(
    request: pytest.FixtureRequest,
    site: Site,
    probe_image: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Operator]:
    """Make an engine the operator's, with set-up's registry image in it."""
    if request.param == "classic":
        port = tunnel.open_tunnel(0, site.dial, lambda error: pytest.fail(str(error)))
        address = f"127.0.0.1:{port}"
    else:
        saved, address = operators_engine.archive(site.spec.image), site.address
        monkeypatch.setenv("DOCKER_HOST", site.newer_engine)
        docker.from_env(version="auto").images.load(saved)
    engine: Any = docker.from_env(version="auto")
    store = str(engine.info()["DriverStatus"])
    assert ("io.containerd.snapshotter" in store) == (request.param == "containerd"), store
    engine.api.import_image_from_data(probe_image, repository="other/operator", tag="probe")
    yield Operator(engine, address)
    engine.images.remove("other/operator:probe", force=True)
    engine.close()


def test_the_operators_images_run_on_the_machine(
    site: Site, operator: Operator, tmp_path: Path
) -> None:
    """With each store on either side: the registry is loaded, and an image built and pushed."""
    site.run(f"docker rm -f {registry.CONTAINER} && docker rmi -f {site.spec.image}")
    registry.ensure(
        site.runner, site.spec, save_image=lambda: operators_engine.archive(site.spec.image)
    )
    assert registry.fingerprint(site.runner)

    (tmp_path / "Dockerfile").write_text("FROM other/operator:probe\nCOPY added /added\n")
    (tmp_path / "added").write_text("a layer")
    name = f"{operator.registry}/built:1"
    request = BuildRequest(
        image_name=name,
        context=BuildContext(root=tmp_path, dockerfile=tmp_path / "Dockerfile"),
        args={},
        platform=None,
    )
    cancellation = Cancellation()
    with contextlib.closing(connect(None, cancellation)) as client:
        build(client, request, lambda _: None, cancellation)
    pushed = operators_engine.push(name, user=registry.user_of(PASSWORD), password=PASSWORD)
    assert pushed == registry.digest(site.endpoint, "built", "1")
    reference = f"{site.address}/built@{pushed}"
    site.run(f"docker pull -q {reference}")
    show = 'exec perl -e "open F, q(/added); print <F>"'
    assert site.run(f"docker run --rm {reference} sh -c '{show}'") == "a layer"
    layers = f"docker image inspect --format '{{{{len .RootFS.Layers}}}}' {reference}"
    assert site.run(layers) == "2"
    assert len(operator.engine.images.get(name).attrs["RootFS"]["Layers"]) == 2
    site.run(f"docker rmi -f {reference}")
    operators_engine.untag(name)
