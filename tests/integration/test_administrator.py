"""The administrator's account over starts of `migrate`: real PostgreSQL, real Airflow."""

from __future__ import annotations

import os
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.images import project_images
from tools.laptop_secrets import write_missing

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
CODE = ("migrate.py", "entrypoint.sh", "database.py")
CHECK = """
import os, sys, psycopg2
from werkzeug.security import check_password_hash
sys.path.insert(0, "/opt/dairflow")
import database
cursor = database.connect().cursor()
cursor.execute("SELECT password, active FROM ab_user WHERE username = 'admin'")
found = cursor.fetchone()
print(bool(found and found[1] and check_password_hash(found[0], os.environ["PASSWORD"])))
"""


class Database:
    """A PostgreSQL with the project's image, and `migrate` as each deployment starts it."""

    def __init__(self, folder: Path) -> None:
        self.name = f"dairflow-test-{uuid.uuid4().hex[:8]}"
        self.secrets = folder
        write_missing(folder)
        folder.chmod(0o755)  # the containers have users of their own
        self.mounts = ["--volume", f"{folder}:/run/secrets:ro"]
        docker("network", "create", self.name)
        docker(
            *("run", "--detach", "--name", self.name, "--network", self.name),
            *("--network-alias", "postgres", *self.mounts),
            os.environ.get("DAIRFLOW_POSTGRES_IMAGE", project_images.reference("postgres")),
        )

    def airflow(self, *command: str, **environment: str) -> str:
        code = [
            part
            for file in CODE
            for part in ("--volume", f"{ROOT}/images/airflow/{file}:/opt/dairflow/{file}:ro")
        ]
        variables = [part for name in environment for part in ("--env", name)]
        return docker(
            *("run", "--rm", "--network", self.name, *self.mounts, *code, *variables),
            os.environ.get("DAIRFLOW_AIRFLOW_IMAGE", project_images.reference("airflow")),
            *command,
            **environment,
        )

    def migrate(self) -> str:
        return self.airflow("migrate")

    def signs_in_with(self, password: str) -> bool:
        return self.airflow("python", "-c", CHECK, PASSWORD=password).strip() == "True"

    def sql(self, text: str) -> str:
        psql = ("psql", "--username", "postgres", "--tuples-only", "--no-align", "airflow")
        return docker("exec", self.name, *psql, "--command", text).strip()

    def give(self, password: str) -> None:
        """Deliver another secret, as a rotation does."""
        secret = self.secrets / "admin_password"
        secret.unlink()
        secret.write_text(password)

    def remove(self) -> None:
        docker("rm", "--force", "--volumes", self.name)
        docker("network", "rm", self.name)


def docker(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        ["docker", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(tmp_path_factory.mktemp("accounts") / "secrets")
    yield database
    database.remove()


def test_the_generated_password_is_only_the_first_one(database: Database) -> None:
    first = (database.secrets / "admin_password").read_text()
    database.migrate()
    assert database.signs_in_with(first)

    changed = database.sql("SELECT password FROM ab_user").replace("scrypt", "changed")
    database.sql(f"UPDATE ab_user SET password = '{changed}'")  # noqa: S608 - a hash
    database.migrate()
    assert database.sql("SELECT password FROM ab_user") == changed

    database.sql("UPDATE ab_user SET active = false")
    database.migrate()
    assert database.sql("SELECT active FROM ab_user") == "f"

    database.give("the-next-one")
    assert "the password of admin is the new secret's" in database.migrate()
    assert database.signs_in_with("the-next-one")
    assert "new secret" not in database.migrate()


def test_a_renamed_administrator_blocks_no_start_and_no_release(database: Database) -> None:
    database.sql("UPDATE ab_user SET username = 'boss'")
    database.migrate()
    database.sql("DELETE FROM dairflow_migration")  # as before another release
    database.migrate()
    assert database.sql("SELECT username FROM ab_user") == "boss"

    database.give("the-third-one")
    database.migrate()
    assert database.signs_in_with("the-third-one")
    assert database.sql("SELECT count(*) FROM ab_user") == "2"
