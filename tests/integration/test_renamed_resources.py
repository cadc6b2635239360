"""A resource gets another name in the program, with the real Pulumi: its machine and data stay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.remote.keys import generate_key_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PROGRAM = f"""
import json, sys
from pathlib import Path
sys.path[:0] = [{str(ROOT)!r}]

from infra.machines.addresses import address
from infra.resources.local import LocalMachine, LocalNetwork

given = json.loads(Path("given.json").read_text())
container, suffix = given["container"], given["suffix"]
network = LocalNetwork(
    f"network{{suffix}}", network=container, cluster=container, published={{}}
)
LocalMachine(
    f"machine{{suffix}}",
    container=container,
    hostname="worker-1",
    cluster=container,
    network=network.id,
    private_address=network.subnet.apply(lambda subnet: address(subnet, "worker", 1)),
    ports={{22: 0}},
    port_settings={{}},
    host_key=given["host_key"],
    host_public_key=given["host_public_key"],
    authorized_key=given["authorized_key"],
)
"""


class Project:
    """A program with one machine, whose resources have a suffix."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.container = folder, f"dairflow-test-{uuid.uuid4().hex[:8]}"
        self.host_key, self.operator = generate_key_pair(), generate_key_pair()
        (folder / "state").mkdir()
        (folder / "Pulumi.yaml").write_text("name: renamed\nruntime: python\n")
        (folder / "__main__.py").write_text(PROGRAM)
        self.environment = {
            **os.environ,
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "a passphrase for tests",
            "PULUMI_PYTHON_CMD": sys.executable,
            "PYTHONPATH": str(ROOT),
        }
        self.pulumi("stack", "init", "test")

    def pulumi(self, *arguments: str) -> str:
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self, suffix: str) -> str:
        given = {
            "container": self.container,
            "suffix": suffix,
            "host_key": self.host_key.private,
            "host_public_key": self.host_key.public,
            "authorized_key": self.operator.public,
        }
        (self.folder / "given.json").write_text(json.dumps(given))
        return self.pulumi("up", "--yes", "--skip-preview")


@pytest.fixture
def project(tmp_path: Path, docker_client: docker.DockerClient) -> Iterator[Project]:
    project = Project(tmp_path)
    yield project
    for container in docker_client.containers.list(all=True, filters={"name": project.container}):
        container.remove(force=True, v=True)
    for volume in docker_client.volumes.list(filters={"name": project.container}):
        volume.remove()
    for network in docker_client.networks.list(names=[project.container]):
        network.remove()


@pytest.mark.parametrize("of_an_older_release", [False, True], ids=["this release", "older"])
def test_a_machine_whose_resource_is_renamed_keeps_running_with_its_data(
    project: Project, docker_client: docker.DockerClient, *, of_an_older_release: bool
) -> None:
    project.up("")
    before = docker_client.containers.get(project.container)
    assert before.exec_run("touch /var/lib/docker/marked").exit_code == 0
    if of_an_older_release:
        assert before.exec_run("rm /var/lib/docker/dairflow-owner").exit_code == 0
        forget_identities(project)
    assert "another resource has adopted it" in project.up("-renamed")
    after = docker_client.containers.get(project.container)
    assert (after.id, after.status) == (before.id, "running")
    assert after.exec_run("test -e /var/lib/docker/marked").exit_code == 0
    project.pulumi("destroy", "--yes", "--skip-preview")
    left = docker_client.containers.list(all=True, filters={"name": project.container})
    assert not left
    assert not docker_client.networks.list(names=[project.container])


def forget_identities(project: Project) -> None:
    state = json.loads(project.pulumi("stack", "export", "--show-secrets"))
    for resource in state["deployment"]["resources"]:
        resource.get("outputs", {}).pop("owner", None)
    (project.folder / "older.json").write_text(json.dumps(state))
    project.pulumi("stack", "import", "--file", "older.json")
