"""Backups of all databases, and what becomes of them, by the real containers.

``DAIRFLOW_POSTGRES_IMAGE`` and ``DAIRFLOW_AIRFLOW_IMAGE`` name the images, as for the compose file.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import bucket
import pytest
import yaml

from infra.images import project_images
from infra.project import ROOT
from infra.remote.machine import Machine
from infra.remote.runner import Completed
from infra.settings.model import OTHER_IMAGES
from infra.stack import backup_check
from infra.stack.backups import BackupOptions
from infra.stack.errors import StackError
from infra.stack.options import StackOptions
from infra.stack.render import render
from infra.stack.secrets import generate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import docker
    from docker.models.containers import Container

pytestmark = pytest.mark.integration

LABEL = "dairflow.test"
POSTGRES = os.environ.get("DAIRFLOW_POSTGRES_IMAGE", project_images.reference("postgres"))
AIRFLOW = os.environ.get("DAIRFLOW_AIRFLOW_IMAGE", project_images.reference("airflow"))
DATA = "/var/lib/postgresql/data"
REPOSITORY = "/var/lib/pgbackrest"
SECRETS = {
    "postgres_password": "o'n\"e\\",
    "pooler_password": "th'r\"ee\\",
    "backup_passphrase": "p'a\"ss\\phrase; # of $the repository",
}
WAIT_SECONDS = 120
ISO_FORMAT = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'


@dataclass
class Site:
    """Where PostgreSQL and its backups run: a network, volumes and secrets of one stack."""

    client: docker.DockerClient
    name: str
    mark: str
    secrets: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])
    hosts: dict[str, str] = field(default_factory=dict[str, str])

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
            extra_hosts=self.hosts,
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

    def airflow(self, postgres: Container, *command: str) -> str:
        """Run a command of Airflow's image to its end; return what it printed."""
        postgres.reload()
        address = postgres.attrs["NetworkSettings"]["Networks"][self.name]["IPAddress"]
        container = self.client.containers.run(
            AIRFLOW,
            list(command),
            environment={"DATABASE_ADDRESS": f"{address}:5432"},
            volumes={str(self.secrets): {"bind": "/run/secrets", "mode": "ro"}},
            network=self.name,
            labels={LABEL: self.mark},
            detach=True,
        )
        assert container.wait(timeout=600)["StatusCode"] == 0, container.logs().decode()
        return container.logs().decode()

    def give_secrets(self, values: dict[str, str]) -> None:
        """Set the stack's secrets."""
        for name, value in values.items():
            (self.secrets / name).write_text(value)

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
    network = docker_client.networks.create(name, labels={LABEL: test_mark})
    made = Site(client=docker_client, name=name, mark=test_mark, secrets=secrets)
    made.give_secrets(SECRETS)
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
    container.reload()
    assert container.status == "running", container.logs().decode()
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


def status(maker: Container) -> tuple[bool, str]:
    """Return whether all is well, and the report."""
    answer = maker.exec_run(["/opt/dairflow/backup_status.sh"])
    return answer.exit_code == 0, answer.output.decode()


def wait_for_status(maker: Container, *, good: bool, text: str = "") -> str:
    wait_until(lambda: status(maker)[0] is good and text in status(maker)[1], maker)
    return status(maker)[1]


def test_what_is_wrong_with_the_backups_is_reported(site: Site) -> None:
    """An archive that fails and WAL that is dropped; then all is well; then a backup that fails."""
    postgres = site.postgres(MAXIMUM_WAITING_WAL="48MiB")
    maker = site.backups()
    (first,) = wait_for_backups(maker, 1)
    report = wait_for_status(maker, good=True)
    assert first["label"] in report
    assert "PROBLEM" not in report

    run(postgres, "chmod", "-R", "u-w", f"{REPOSITORY}/archive")
    sql(postgres, "CREATE TABLE kept AS SELECT 1 AS n; SELECT pg_switch_wal()")
    wait_for_status(maker, good=False, text="WAL is not archived")
    for _ in range(5):
        sql(postgres, "INSERT INTO kept VALUES (2); SELECT pg_switch_wal()")
    report = wait_for_status(maker, good=False, text="WAL was dropped")
    assert "Later moments cannot be restored until the next backup" in report
    assert sql(postgres, "SELECT count(*) FROM kept") == "6", "the database goes on"

    run(postgres, "chmod", "-R", "u+w", f"{REPOSITORY}/archive")
    sql(postgres, "INSERT INTO kept VALUES (3); SELECT pg_switch_wal()")  # wakes the archiver
    wait_for_status(maker, good=True)
    assert backups_of(maker)[-1]["type"] == "incr", "the gap ends with a backup"

    maker.remove(force=True)
    run(postgres, "chmod", "-R", "u-w", f"{REPOSITORY}/backup")
    maker = site.backups(BACKUP_EVERY_HOURS="0")
    report = wait_for_status(maker, good=False, text="the last backup failed")
    assert "Permission denied" in report
    assert "the last backup was made" in report, "it is older than it may be"
    run(postgres, "chmod", "-R", "u+w", f"{REPOSITORY}/backup")


def refused(site: Site, *command: str, **environment: str) -> str:
    """Return the log of a start that is refused; nothing changes in the volumes."""
    container = site.start(*command, **environment)
    assert container.wait(timeout=WAIT_SECONDS)["StatusCode"] == 1
    printed = container.logs().decode()
    container.remove(force=True, v=True)
    assert "Nothing was changed." in printed
    assert "Next: " in printed
    return printed


def test_every_row_of_all_databases_comes_back(site: Site) -> None:
    """The data's volume is lost: the latest moment, then an earlier one."""
    moment = fill(site)
    assert "this cluster has data" in refused(site, RESTORE_FROM="latest")
    site.destroy("data")

    assert "has backups of a database, and this cluster has no data" in refused(site)
    assert "There is no backup" in refused(site, RESTORE_FROM="20200101-000000F")
    assert "the first backup was complete at" in refused(site, RESTORE_FROM="2020-01-01T00:00:00Z")
    assert rows(site.postgres(RESTORE_FROM="latest")) == (5000, 10)
    site.destroy("data")
    restored = site.postgres(RESTORE_FROM=moment)
    assert rows(restored) == (5000, 7001)
    sql(restored, "INSERT INTO sale VALUES (7002)")
    restored.restart(timeout=30)
    wait_until(lambda: _answers(restored), restored)
    assert rows(restored) == (5000, 7002), "a restart does not restore again"


@pytest.mark.chaos
def test_what_was_restored_is_backed_up_at_once_and_can_be_restored(site: Site) -> None:
    """An earlier moment, what was written after it, a backup from before it; no moment to come."""
    moment = fill(site)
    label = backups_of(site.backups())[-1]["label"]
    site.destroy("data")
    restored = site.postgres(RESTORE_FROM=moment)
    sql(restored, "INSERT INTO sale VALUES (7002)")
    maker = site.backups()
    count = len(backups_of(maker))
    assert wait_for_backups(maker, count + 1)[-1]["type"] == "full"
    wait_for_status(maker, good=True)
    archive(restored)

    site.destroy("data")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    late = site.start(RESTORE_FROM=tomorrow)
    assert late.wait(timeout=WAIT_SECONDS)["StatusCode"] == 1
    assert f"Is {tomorrow} later than the last change that was archived?" in late.logs().decode()
    site.destroy()
    assert rows(site.postgres(RESTORE_FROM="latest")) == (5000, 7002)
    site.destroy("data")
    assert rows(site.postgres(RESTORE_FROM=label)) == (5000, 7000)


def fill(site: Site) -> str:
    """Write to both databases, with backups, and archive it; return a moment before a deletion."""
    postgres = site.postgres()
    run_table = "CREATE TABLE run AS SELECT generate_series(1, 5000) AS n"
    sql(postgres, f"SET ROLE airflow; {run_table}", "airflow")
    wait_for_backups(site.backups(), 1)
    sale_table = "CREATE TABLE sale AS SELECT generate_series(1, 7000) AS n"
    sql(postgres, f"SET ROLE warehouse; {sale_table}")
    sql(postgres, "SELECT dairflow.back_up('by_hand')", "airflow")
    sql(postgres, "INSERT INTO sale VALUES (7001)")
    moment = sql(postgres, f"SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', '{ISO_FORMAT}')")
    sql(postgres, "DELETE FROM sale WHERE n > 10")
    archive(postgres)
    return moment


def rows(postgres: Container) -> tuple[int, int]:
    """Count the rows of both databases."""
    run_rows = sql(postgres, "SELECT count(*) FROM run", "airflow")
    return int(run_rows), int(sql(postgres, "SELECT count(*) FROM sale"))


def archive(postgres: Container) -> None:
    """Wait until what was written so far is archived."""
    sql(postgres, "SELECT pg_logical_emit_message(true, 'test', 'so that there is a segment')")
    segment = sql(postgres, "SELECT pg_walfile_name(pg_switch_wal())")
    archived = "SELECT coalesce(max(last_archived_wal) >= '%s', false) FROM pg_stat_archiver"
    wait_until(lambda: sql(postgres, archived % segment) == "t", postgres)


def test_a_repository_that_is_not_this_clusters_is_refused(site: Site) -> None:
    """An empty one, one with another passphrase, one of another database."""
    assert "has no backup of this project's" in refused(site, RESTORE_FROM="latest")
    site.postgres()
    wait_for_backups(site.backups(), 1)
    site.destroy("data")
    (site.secrets / "backup_passphrase").write_text("another passphrase")
    assert "Is backupPassphrase that of these backups?" in refused(site, RESTORE_FROM="latest")
    (site.secrets / "backup_passphrase").write_text(SECRETS["backup_passphrase"])
    site.postgres(BACKUPS="off")
    site.destroy()
    assert "has the backups of another database" in refused(site)


class ThisMachine:
    """A runner of this machine's own commands."""

    machine = Machine(
        name="manager-1", role="manager", address="", host_key="", private_address="127.0.0.1"
    )

    def run(
        self, command: str, *, stdin: bytes | None = None, timeout: float = 60, check: bool = True
    ) -> Completed:
        done = subprocess.run(
            ["sh", "-c", command], input=stdin, capture_output=True, check=check, timeout=timeout
        )
        return Completed(
            stdout=done.stdout.decode(), stderr=done.stderr.decode(), exit_status=done.returncode
        )


def test_a_deployment_is_checked_by_the_image_before_it_begins(site: Site) -> None:
    """The very command of `pulumi up`: it makes no volume, and refuses with the image's words."""
    secrets = {**generate(), **SECRETS}
    options = StackOptions(
        name=site.name,
        images={kind: f"{kind}@sha256:{'ab' * 32}" for kind in ("airflow", *OTHER_IMAGES)},
        worker_nodes=1,
        base_url="",
        secrets=secrets,
        backups=BackupOptions(restore_from="latest"),
    )
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    stack = render(compose, options)
    stack.document["services"]["postgres"]["image"] = POSTGRES

    with pytest.raises(StackError, match="has no backup of this project's"):
        backup_check.check(ThisMachine(), stack, secrets, login=None)
    assert site.client.volumes.list(filters={"name": f"{site.name}_"}) == []
    stack.document["services"]["postgres"]["environment"]["RESTORE_FROM"] = ""
    backup_check.check(ThisMachine(), stack, secrets, login=None)


@pytest.mark.chaos
def test_a_bucket_outlives_the_cluster(site: Site, tmp_path: Path) -> None:
    """Every volume is lost. A bucket that is missing, closed or read-only is refused."""
    network = site.client.networks.get(site.name)
    site.hosts = {bucket.HOST: network.attrs["IPAM"]["Config"][0]["Gateway"]}
    with bucket.server(tmp_path) as server:
        site.environment = {
            "BACKUP_S3_BUCKET": "nightly",
            "BACKUP_S3_ENDPOINT": server.endpoint,
            "BACKUP_S3_REGION": "us-east-1",
            "BACKUP_S3_PATH": "/dairflow",
        }
        keys = {
            "backup_s3_access_key": bucket.ACCESS_KEY,
            "backup_s3_secret_key": bucket.SECRET_KEY,
            "backup_s3_ca": server.authority,
        }
        site.give_secrets(keys)
        assert "cannot be read" in refused(site, "check-backups")
        (server.folder / "nightly").mkdir()
        site.give_secrets({"backup_s3_secret_key": "wrong"})
        assert "cannot be read" in refused(site, "check-backups")
        site.give_secrets(keys)

        postgres = site.postgres()
        maker = site.backups()
        wait_for_backups(maker, 1)
        sql(postgres, "CREATE TABLE run AS SELECT generate_series(1, 50) AS n", "airflow")
        sql(postgres, "CREATE TABLE sale AS SELECT generate_series(1, 70) AS n")
        archive(postgres)
        report = wait_for_status(maker, good=True)
        assert "s3://nightly/dairflow" in report
        site.destroy("data", "repository", "run")

        assert "this cluster has no data" in refused(site, "check-backups")
        assert rows(site.postgres(RESTORE_FROM="latest")) == (50, 70)
        site.destroy("data")
    with bucket.server(tmp_path, "--readonly") as server:
        site.environment |= {"BACKUP_S3_ENDPOINT": server.endpoint, "BACKUP_S3_PATH": "/another"}
        site.give_secrets({"backup_s3_ca": server.authority})
        assert "cannot be written to" in refused(site, "check-backups")


@pytest.mark.chaos
def test_another_stack_decrypts_the_connections_that_it_restores(site: Site) -> None:
    """Every secret of the new stack is another one, but for the passphrase of the backups."""
    site.give_secrets({**generate(), **SECRETS})
    postgres = site.postgres()
    site.airflow(postgres, "migrate")
    site.airflow(
        postgres, "airflow", "connections", "add", "shop", "--conn-uri", "http://ann:hunter2@shop/"
    )
    site.airflow(postgres, "airflow", "variables", "set", "colour", "blue")
    wait_for_backups(site.backups(), 1)
    archive(postgres)
    site.destroy("data")

    site.give_secrets({**generate(), "backup_passphrase": SECRETS["backup_passphrase"]})
    restored = site.postgres(RESTORE_FROM="latest")
    stored = sql(restored, "SELECT password FROM connection WHERE conn_id = 'shop'", "airflow")
    assert "encrypting its values with this stack's" in site.airflow(restored, "migrate")
    assert "hunter2" in site.airflow(
        restored, "airflow", "connections", "get", "shop", "-o", "json"
    )
    assert "blue" in site.airflow(restored, "airflow", "variables", "get", "colour")
    assert stored != sql(restored, "SELECT password FROM connection", "airflow")
    assert "encrypting" not in site.airflow(restored, "migrate")

    other = {"fernet_key": generate()["fernet_key"], "backup_passphrase": "another passphrase"}
    site.give_secrets(other)
    with pytest.raises(AssertionError, match="backupPassphrase does not decrypt"):
        site.airflow(restored, "migrate")
