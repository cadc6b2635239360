"""Backups of all databases, and what becomes of them, by the real containers.

``DAIRFLOW_POSTGRES_IMAGE`` names the image, as for the compose file.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from infra import project_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import docker
    from docker.models.containers import Container

pytestmark = pytest.mark.integration

LABEL = "dairflow.test"
POSTGRES = os.environ.get("DAIRFLOW_POSTGRES_IMAGE", project_images.reference("postgres"))
DATA = "/var/lib/postgresql/data"
REPOSITORY = "/var/lib/pgbackrest"
SECRETS = {
    "postgres_password": "o'n\"e\\",
    "warehouse_password": "th'r\"ee\\",
    "backup_passphrase": "p'a\"ss\\phrase; # of $the repository",
}
WAIT_SECONDS = 120


@dataclass
class Site:
    """Where PostgreSQL and its backups run: a network, volumes and secrets of one stack."""

    client: docker.DockerClient
    name: str
    mark: str
    secrets: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def volume(self, kind: str) -> str:
        """Return the name of a volume; the engine makes it at its first use."""
        return f"{self.name}-{kind}"

    def start(self, *command: str, data: str = "rw", **environment: str) -> Container:
        """Start a container as the compose file does."""
        binds = {"data": DATA, "repository": REPOSITORY, "run": "/var/run/postgresql"}
        volumes = {
            self.volume(kind): {"bind": place, "mode": data if kind == "data" else "rw"}
            for kind, place in binds.items()
        }
        return self.client.containers.run(
            POSTGRES,
            list(command),
            environment={"BACKUPS": "on", **self.environment, **environment},
            volumes={**volumes, str(self.secrets): {"bind": "/run/secrets", "mode": "ro"}},
            network=self.name,
            labels={LABEL: self.mark},
            read_only=True,
            cap_drop=["ALL"],
            tmpfs={"/tmp": ""},  # noqa: S108 - in the container
            detach=True,
        )

    def postgres(self, **environment: str) -> Container:
        """Start PostgreSQL, and wait until it answers."""
        container = self.start(**environment)
        wait_until(lambda: _answers(container), container)
        return container

    def backups(self, **environment: str) -> Container:
        """Start what makes the backups."""
        return self.start("backups", data="ro", **environment)

    def destroy(self, *kinds: str) -> None:
        """Remove every container, and the volumes of these kinds."""
        filters = {"network": self.name}
        for container in self.client.containers.list(all=True, filters=filters):
            container.remove(force=True, v=True)
        for kind in kinds:
            self.client.volumes.get(self.volume(kind)).remove()


@pytest.fixture
def site(docker_client: docker.DockerClient, test_mark: str, tmp_path: Path) -> Iterator[Site]:
    name = f"dairflow-test-{test_mark}-{time.monotonic_ns()}"
    secrets = tmp_path / "secrets"  # the folder around it is closed to the containers' users
    secrets.mkdir()
    for secret, value in SECRETS.items():
        (secrets / secret).write_text(value)
    network = docker_client.networks.create(name, labels={LABEL: test_mark})
    made = Site(client=docker_client, name=name, mark=test_mark, secrets=secrets)
    yield made
    made.destroy()
    for volume in docker_client.volumes.list(filters={"name": name}):
        volume.remove()
    network.remove()


def wait_until(ready: Callable[[], bool], container: Container) -> None:
    """Wait for something of a container that has to keep running meanwhile."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not ready():
        container.reload()
        assert container.status == "running", container.logs().decode()
        assert time.monotonic() < deadline, container.logs().decode()
        time.sleep(0.2)


def _answers(container: Container) -> bool:
    return container.exec_run(["pg_isready", "-q", "-h", "127.0.0.1"]).exit_code == 0


def run(container: Container, *command: str) -> str:
    answer = container.exec_run(list(command))
    assert answer.exit_code == 0, answer.output.decode()
    return answer.output.decode().strip()


def sql(postgres: Container, statement: str, database: str = "warehouse") -> str:
    return run(postgres, "psql", "-tAqc", statement, database)


def backups_of(container: Container) -> list[dict[str, Any]]:
    (stanza,) = json.loads(run(container, *INFO))
    return stanza["backup"]


INFO = ("pgbackrest", "--stanza=airflow", "--output=json", "info")


def wait_for_backups(container: Container, count: int) -> list[dict[str, Any]]:
    wait_until(lambda: len(backups_of(container)) >= count, container)
    return backups_of(container)


def test_backups_are_made_without_being_asked_for(site: Site) -> None:
    """One at once; one before a migration; and one when the last is too old."""
    postgres = site.postgres()
    maker = site.backups()
    (first,) = wait_for_backups(maker, 1)
    assert first["type"] == "full"
    assert first["annotation"] == {"reason": "schedule"}
    sql(postgres, "SET ROLE airflow; SELECT dairflow.back_up('before_migration')", "airflow")
    second = backups_of(postgres)[1]
    assert second["type"] == "incr"
    assert second["annotation"] == {"reason": "before_migration"}
    wait_until(lambda: healthy(maker), maker)

    maker.remove(force=True)
    aged = site.backups(BACKUP_EVERY_HOURS="0")
    assert wait_for_backups(aged, 3)[2]["annotation"] == {"reason": "schedule"}


def test_without_backups_nothing_is_archived(site: Site) -> None:
    postgres = site.postgres(BACKUPS="off")
    assert sql(postgres, "SHOW archive_mode") == "off"
    sql(postgres, "SELECT dairflow.back_up('before_migration')", "airflow")
    assert run(postgres, "ls", REPOSITORY) == ""


def healthy(maker: Container) -> bool:
    return maker.exec_run(["/opt/dairflow/backups_healthcheck.sh"]).exit_code == 0
