"""PostgreSQL, PgBouncer and the migration of Airflow's database, each as its real container.

``DAIRFLOW_POSTGRES_IMAGE`` and ``DAIRFLOW_AIRFLOW_IMAGE`` name the images, as for the compose file.
"""

from __future__ import annotations

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
import yaml
from docker.types import Mount

from infra.images import project_images
from infra.stack.interpolate import interpolate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import docker
    from docker.models.containers import Container
    from docker.models.networks import Network

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
LABEL = "dairflow.test"
POSTGRES = os.environ.get("DAIRFLOW_POSTGRES_IMAGE", project_images.reference("postgres"))
AIRFLOW = os.environ.get("DAIRFLOW_AIRFLOW_IMAGE", project_images.reference("airflow"))
SECRETS = {
    "postgres_password": "o'n\"e\\",
    "warehouse_password": "th'r\"ee\\",
    "pooler_password": "po'o\"ler\\",
    "admin_password": "four",
    "backup_passphrase": "five'\"\\",
    "fernet_key": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
}
START_SECONDS = 120
SLOTS = 200
"""More tasks at the same time than the warehouse has sessions."""

GREEDY_CONNECTIONS = 284
"""What one task opened, after which Airflow had no connection left."""

MEBIBYTE = 1024 * 1024


@pytest.fixture
def network(docker_client: docker.DockerClient, test_mark: str) -> Iterator[Network]:
    name = f"dairflow-test-{test_mark}-{time.monotonic_ns()}"
    network = docker_client.networks.create(name, labels={LABEL: test_mark})
    yield network
    for container in docker_client.containers.list(all=True, filters={"network": network.id}):
        container.remove(force=True, v=True)
    network.remove()


@pytest.fixture
def volume(docker_client: docker.DockerClient, test_mark: str) -> Iterator[str]:
    made = docker_client.volumes.create(
        f"dairflow-test-{test_mark}-{time.monotonic_ns()}", labels={LABEL: test_mark}
    )
    yield made.name
    for each in docker_client.volumes.list(filters={"name": made.name}):
        for container in docker_client.containers.list(all=True, filters={"volume": each.name}):
            container.remove(force=True, v=True)
        each.remove()


@pytest.fixture
def start(
    docker_client: docker.DockerClient, network: Network, test_mark: str, tmp_path: Path
) -> Callable[..., Container]:
    """Start a service of the stack under its name; it is removed with the network."""
    secrets = tmp_path / "secrets"  # the folder around it is closed to the containers' users
    secrets.mkdir()
    for name, value in SECRETS.items():
        (secrets / name).write_text(value)

    def run(image: str, *command: str, alias: str = "", **options: Any) -> Container:
        volumes = {str(secrets): {"bind": "/run/secrets", "mode": "ro"}}
        container = docker_client.containers.create(
            image,
            list(command) or None,
            volumes=volumes | options.pop("volumes", {}),
            labels={LABEL: test_mark},
            **options,
        )
        docker_client.networks.get("bridge").disconnect(container)
        network.connect(container, aliases=[alias] if alias else None)
        container.start()
        return container

    return run


@pytest.fixture
def start_postgres(start: Callable[..., Container], volume: str) -> Callable[[], Container]:
    """Start PostgreSQL with the memory file systems and the socket's volume of the compose file."""

    def run() -> Container:
        mounts = _memory_mounts("postgres")
        container = start(POSTGRES, alias="postgres", mounts=mounts, volumes=_sockets(volume))
        _wait_for_port(container, 5432)
        return container

    return run


@pytest.fixture
def postgres(start_postgres: Callable[[], Container]) -> Container:
    return start_postgres()


@pytest.fixture
def start_pool(start: Callable[..., Container], volume: str) -> Callable[[], Container]:
    """Start PgBouncer as the compose file does."""

    def run() -> Container:
        container = start(
            POSTGRES, "pgbouncer", alias="pgbouncer", user="pgbouncer", volumes=_sockets(volume)
        )
        _wait_for_port(container, 6432)
        return container

    return run


@pytest.fixture
def pool(start_pool: Callable[[], Container], postgres: Container) -> Container:
    del postgres
    return start_pool()


def _sockets(volume: str) -> dict[str, dict[str, str]]:
    return {f"{volume}-run": {"bind": "/var/run/postgresql"}}


def _memory_mounts(service: str) -> list[Mount]:
    compose, _ = interpolate(yaml.safe_load((ROOT / "docker-compose.yaml").read_text()), {})
    return [
        Mount(
            mount["target"],
            None,
            type="tmpfs",
            tmpfs_size=mount.get("tmpfs", {}).get("size"),
        )
        for mount in compose["services"][service]["volumes"]
        if isinstance(mount, dict) and mount["type"] == "tmpfs"
    ]


def _address(container: Container) -> str:
    container.reload()
    (network,) = container.attrs["NetworkSettings"]["Networks"].values()
    return network["IPAddress"]


def _connect(container: Container, role: str, database: str, port: int = 5432) -> Any:
    secret = {"airflow": "postgres_password", "warehouse": "pooler_password"}[role]
    if port != 5432:  # PgBouncer's
        secret = "warehouse_password"
    return _connect_as(container, role, SECRETS[secret], database, port)


def _connect_as(
    container: Container, user: str, password: str, database: str, port: int = 6432
) -> Any:
    connection = psycopg2.connect(
        host=_address(container),
        port=port,
        user=user,
        password=password,
        dbname=database,
        connect_timeout=60,
    )
    connection.autocommit = True
    return connection


def _ask(connection: Any, statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def _run(connection: Any, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _wait_for_port(container: Container, port: int) -> None:
    """Wait until a server accepts connections in a container that has to keep running meanwhile."""
    deadline = time.monotonic() + START_SECONDS
    ready = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "warehouse"]
    while container.exec_run(ready).exit_code != 0:
        container.reload()
        assert container.status == "running", container.logs().decode()
        assert time.monotonic() < deadline, container.logs().decode()
        time.sleep(0.2)


def _in_container(container: Container, *command: str) -> str:
    answer = container.exec_run(list(command))
    assert answer.exit_code == 0, answer.output.decode()
    return answer.output.decode().strip()


def _dumps(postgres: Container) -> list[str]:
    return _in_container(postgres, "ls", "/var/lib/postgresql/dumps").split()


def test_six_sessions_join_half_a_million_rows_in_parallel(postgres: Container) -> None:
    """With a container's 64 MB of /dev/shm: could not resize shared memory segment."""
    admin = _connect(postgres, "warehouse", "warehouse")
    _run(
        admin,
        "CREATE TABLE sale AS SELECT n AS id, n % 5000 AS customer, md5(n::text) AS note"
        " FROM generate_series(1, 500000) AS n; ANALYZE sale",
    )
    join = (
        "SELECT count(*), sum(length(a.note) + length(b.note)) FROM sale a JOIN sale b"
        " ON a.id = b.id WHERE a.note <> b.note || 'x'"
    )
    # The plan must be parallel on any machine: the test is about the memory.
    settings = "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET work_mem = '64MB'"
    _run(admin, settings)
    with admin.cursor() as cursor:
        cursor.execute(f"EXPLAIN {join}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Parallel Hash" in plan

    def session(_: int) -> int:
        connection = _connect(postgres, "warehouse", "warehouse")
        _run(connection, settings)
        return _ask(connection, join)

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(session, range(6))) == [500_000] * 6


def test_the_server_is_sized_by_its_memory_limit_and_by_alter_system(
    start: Callable[..., Container], volume: str
) -> None:
    data = {volume: {"bind": "/var/lib/postgresql/data"}}
    container = start(POSTGRES, volumes=data, mem_limit=1024 * MEBIBYTE)
    _wait_for_port(container, 5432)
    assert _setting(container, "shared_buffers") == "256MB"
    assert _setting(container, "max_wal_size") == "512MB"
    _in_container(container, "psql", "-c", "ALTER SYSTEM SET shared_buffers = '100MB'")
    # As a release before this one wrote it.
    conf = "/var/lib/postgresql/data/*/postgresql.conf"
    _in_container(container, "bash", "-c", f"echo max_connections = 300 | tee -a {conf}")
    _in_container(container, "bash", "-c", f"sed -i /dairflow.conf/d {conf}")
    container.restart(timeout=30)
    _wait_for_port(container, 5432)
    assert _setting(container, "shared_buffers") == "100MB"
    assert int(_setting(container, "max_connections")) > GREEDY_CONNECTIONS


def _setting(container: Container, name: str) -> str:
    return _in_container(container, "psql", "-tAc", f"SHOW {name}")


def test_a_greedy_task_leaves_airflow_its_connections(postgres: Container) -> None:
    held: list[Any] = []
    with pytest.raises(
        psycopg2.OperationalError, match='too many connections for role "warehouse"'
    ):
        held.extend(_connect(postgres, "warehouse", "warehouse") for _ in range(GREEDY_CONNECTIONS))
    _ask(_connect(postgres, "airflow", "airflow"), "SELECT 1")
    room = _in_container(
        postgres,
        *("psql", "-tAc"),
        "SELECT sum(rolconnlimit) FILTER (WHERE rolcanlogin AND NOT rolsuper)"
        " <= current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int"
        " AND bool_and(rolconnlimit > 0) FILTER (WHERE rolcanlogin AND NOT rolsuper) FROM pg_roles",
    )
    assert room == "t", "the roles' limits exceed the server's, or a role has none"


def test_tasks_wait_for_a_session_of_the_warehouse(pool: Container) -> None:
    """Each of more tasks than there are sessions gets its answer."""

    def task(number: int) -> int:
        connection = _connect(pool, "warehouse", "warehouse", port=6432)
        try:
            return _ask(connection, f"SELECT {number} FROM pg_sleep(0.2)")  # noqa: S608
        finally:
            connection.close()

    with ThreadPoolExecutor(SLOTS) as threads:
        assert list(threads.map(task, range(SLOTS))) == list(range(SLOTS))


def test_a_task_has_a_session_of_its_own(pool: Container) -> None:
    """What it leaves in the session is not there for the next one; the history is reachable."""
    first = _connect(pool, "warehouse", "warehouse", port=6432)
    _run(first, "CREATE TEMP TABLE mine AS SELECT 1; SET work_mem = '5MB'; PREPARE one AS SELECT 1")
    assert _ask(first, "EXECUTE one") == 1
    first.close()
    second = _connect(pool, "warehouse", "warehouse", port=6432)
    assert _ask(second, "SELECT to_regclass('mine') IS NULL")
    assert _ask(second, "SHOW work_mem") != "5MB"


def test_a_session_is_of_one_role_whatever_the_password(
    start_pool: Callable[[], Container], postgres: Container, tmp_path: Path
) -> None:
    """The tasks of a rotation's both sides connect; a password that is not known does not.

    A worker of an older release, which knows no other user than ``warehouse``, has the former one.
    """
    del postgres
    (tmp_path / "secrets" / "warehouse_password_retired").write_text("the former one")
    pool = start_pool()
    for password in (SECRETS["warehouse_password"], "the former one"):
        user = f"warehouse_{sha256(password.encode()).hexdigest()[:12]}"
        with closing(_connect_as(pool, user, password, "warehouse")) as connection:
            assert _ask(connection, "SELECT current_user") == "warehouse"
    _connect_as(pool, "warehouse", "the former one", "warehouse").close()
    unknown = f"warehouse_{sha256(b'another').hexdigest()[:12]}"
    for user, password in ((unknown, "another"), ("warehouse", SECRETS["warehouse_password"])):
        with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
            _connect_as(pool, user, password, "warehouse")


def _connect_until_refused(pool: Container) -> None:
    for _ in range(50):
        _connect(pool, "warehouse", "warehouse", port=6432).close()
        time.sleep(0.1)


def test_a_pool_that_is_replaced_ends_with_its_last_session(pool: Container) -> None:
    """A deployment stops it so; a task's session goes on, and a new one is for its successor."""
    with closing(_connect(pool, "warehouse", "warehouse", port=6432)) as connection:
        assert _ask(connection, "SELECT 1") == 1
        pool.kill("SIGTERM")
        with pytest.raises(psycopg2.OperationalError, match="refused"):
            _connect_until_refused(pool)
        assert _ask(connection, "SELECT 2") == 2
        pool.reload()
        assert pool.status == "running"
    assert pool.wait(timeout=10)["StatusCode"] == 0


@pytest.mark.timeout(120)  # a query waits for the server, so a failure would take an hour
def test_tasks_reach_a_server_that_started_again_under_another_address(
    start: Callable[..., Container],
    start_pool: Callable[[], Container],
    start_postgres: Callable[[], Container],
) -> None:
    """A task that connects while the server is absent waits; the next one connects at once."""
    pool = start_pool()
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(_connect, pool, "warehouse", "warehouse", 6432)
        time.sleep(3)  # PgBouncer has seen that the server is absent
        first = start_postgres()
        with closing(waiting.result()) as connection:
            assert _ask(connection, "SELECT 1") == 1
    former = _address(first)
    first.remove(force=True)
    start(POSTGRES, "-c", "sleep 600", entrypoint=["bash"])
    second = start_postgres()
    assert _address(second) != former
    with closing(_connect(pool, "warehouse", "warehouse", port=6432)) as connection:
        assert _ask(connection, "SELECT 2") == 2


def test_pgbouncer_is_not_a_superuser(pool: Container) -> None:
    """It has PostgreSQL's socket, where PostgreSQL's own user needs no password."""
    answer = pool.exec_run(["psql", "--host=/var/run/postgresql", "--username=postgres"])
    assert "Peer authentication failed" in answer.output.decode()


@pytest.mark.parametrize("folder", ["16", "18", "."])
def test_another_major_versions_data_stop_the_server(
    start: Callable[..., Container], volume: str, folder: str
) -> None:
    data = {volume: {"bind": "/var/lib/postgresql/data"}}
    place = f"/var/lib/postgresql/data/{folder}"
    older = start(
        POSTGRES, "-c", f"mkdir -p {place} && echo 16 > {place}/PG_VERSION",
        volumes=data, entrypoint=["bash"],
    )  # fmt: skip
    older.wait()
    container = start(POSTGRES, volumes=data)
    assert container.wait(timeout=START_SECONDS)["StatusCode"] == 1
    printed = container.logs().decode()
    assert "The volume holds data of PostgreSQL 16" in printed
    assert "Next: deploy the release of dairflow whose image has PostgreSQL 16" in printed
    looked = start(POSTGRES, "-c", "ls /var/lib/postgresql/data", volumes=data, entrypoint=["bash"])
    looked.wait()
    assert looked.logs().decode().split() == [folder if folder != "." else "PG_VERSION"]


def test_data_that_were_put_aside_are_moved_by_a_dump(
    start: Callable[..., Container], volume: str
) -> None:
    """The steps of docs/database.md for another major version."""
    data = {volume: {"bind": "/var/lib/postgresql/data"}}
    dumps = {f"{volume}-dumps": {"bind": "/var/lib/postgresql/dumps"}}
    older = start(POSTGRES, volumes=data | dumps)
    _wait_for_port(older, 5432)
    _run(_connect(older, "airflow", "airflow"), "CREATE TABLE kept AS SELECT 7 AS n")
    _run(_connect(older, "warehouse", "warehouse"), "CREATE TABLE sold AS SELECT 8 AS n")
    name = _in_container(
        older, "psql", "-tAc", "SELECT dairflow.dump_database('by_hand')", "airflow"
    )
    warehouse = "/var/lib/postgresql/dumps/warehouse.dump"
    _in_container(older, "pg_dump", "--format=custom", f"--file={warehouse}", "warehouse")
    older.stop(timeout=30)
    aside = start(
        POSTGRES,
        "-c",
        "cd /var/lib/postgresql/data && mv [0-9]* before-17",
        volumes=data,
        entrypoint=["bash"],
    )
    assert aside.wait()["StatusCode"] == 0
    newer = start(POSTGRES, volumes=data | dumps)
    _wait_for_port(newer, 5432)
    _in_container(newer, "/opt/dairflow/restore.sh", name)
    _in_container(newer, "pg_restore", "--dbname=warehouse", warehouse)
    assert _ask(_connect(newer, "airflow", "airflow"), "SELECT n FROM kept") == 7
    assert _ask(_connect(newer, "warehouse", "warehouse"), "SELECT n FROM sold") == 8


def test_an_older_server_does_not_start_on_what_it_had_before_an_upgrade(
    start: Callable[..., Container], volume: str
) -> None:
    data = {volume: {"bind": "/var/lib/postgresql/data"}}
    container = start(POSTGRES, volumes=data)
    _wait_for_port(container, 5432)
    folder = "/var/lib/postgresql/data"
    for major in (9.6, 99):
        _in_container(container, "mkdir", f"{folder}/{major}")
        _in_container(container, "bash", "-c", f"echo {major} > {folder}/{major}/PG_VERSION")
        container.restart(timeout=30)
        if major < 10:
            _wait_for_port(container, 5432)  # what an upgrade left behind
    assert container.wait(timeout=START_SECONDS)["StatusCode"] == 1
    assert "data of PostgreSQL 99" in container.logs().decode()


def test_dumps_are_bounded_and_only_those_that_are_complete_stay(postgres: Container) -> None:
    airflow = _connect(postgres, "airflow", "airflow")
    names: list[str] = []
    for number in range(7):
        _in_container(postgres, "touch", "/var/lib/postgresql/dumps/killed.partial")
        names.append(_ask(airflow, f"SELECT dairflow.dump_database('r{number}')"))
    assert _dumps(postgres) == names[-5:]
    for _ in range(4):  # a migration that fails and is tried again
        time.sleep(1)  # a name has a time in seconds
        names.append(_ask(airflow, "SELECT dairflow.dump_database('again')"))
    assert _dumps(postgres) == [*names[4:7], *names[-2:]]
    with pytest.raises(psycopg2.Error, match="letters, digits and _"):
        _ask(airflow, "SELECT dairflow.dump_database('a; touch /tmp/x')")
    _in_container(postgres, "chmod", "500", "/var/lib/postgresql/dumps")
    with pytest.raises(psycopg2.Error, match="failed"):
        _ask(airflow, "SELECT dairflow.dump_database('full')")
    history = _connect(postgres, "warehouse", "warehouse")
    with pytest.raises(psycopg2.Error):
        _ask(history, "SELECT dairflow.dump_database('r')")


def test_a_migration_is_dumped_before_and_an_older_image_refuses_what_it_does_not_have(
    start: Callable[..., Container], postgres: Container
) -> None:
    """The whole way: migrate, downgrade, upgrade with a dump, a newer schema, the dump restored."""

    def airflow(*command: str) -> tuple[int, str]:
        container = start(AIRFLOW, *command)
        status = container.wait(timeout=300)["StatusCode"]
        return status, container.logs().decode()

    def admin(statement: str) -> str:
        return _in_container(postgres, "psql", "-tAc", statement, "airflow")

    assert airflow("migrate")[0] == 0
    assert _dumps(postgres) == []  # there was nothing yet
    head = admin("SELECT version_num FROM alembic_version")
    admin("INSERT INTO variable (key, val, is_encrypted) VALUES ('kept', 'v', false)")
    assert airflow("airflow", "db", "downgrade", "--yes", "--to-version", "3.2.0")[0] == 0
    older = admin("SELECT version_num FROM alembic_version")
    assert older != head

    # The release is recorded, and the schema is another all the same.
    assert "gave up" in airflow("/opt/dairflow/database.py", "wait-for-migration", "--timeout=2")[1]
    status, printed = airflow("migrate")
    assert status == 0, printed
    (dump,) = _dumps(postgres)
    assert re.fullmatch(rf"airflow-\d{{8}}T\d{{6}}Z-{older}_[0-9a-f]+\.dump", dump)
    assert f"in the dump {dump}" in printed
    assert admin("SELECT version_num FROM alembic_version") == head
    assert "already" in airflow("migrate")[1]

    admin("UPDATE alembic_version SET version_num = 'fe0000000001'")
    admin("SET ROLE airflow; CREATE TABLE of_a_newer_release (id int); DELETE FROM variable")
    status, printed = airflow("migrate")
    assert status == 1
    assert f"alembic_version is fe0000000001; the newest that this image has is {head}." in printed
    assert f"restore.sh {dump}" in printed
    assert "already" not in printed
    assert admin("SELECT version_num FROM alembic_version") == "fe0000000001"
    assert "gave up" in airflow("/opt/dairflow/database.py", "wait-for-migration", "--timeout=2")[1]

    busy = _connect(postgres, "airflow", "airflow")
    restored = _in_container(postgres, "/opt/dairflow/restore.sh", dump)
    assert restored.startswith(f"Restored {dump}.")
    with pytest.raises(psycopg2.OperationalError):
        _ask(busy, "SELECT 1")
    assert admin("SELECT version_num FROM alembic_version") == older
    assert admin("SELECT val FROM variable WHERE key = 'kept'") == "v"
    assert admin("SELECT to_regclass('of_a_newer_release') IS NULL") == "t"
    history = _connect(postgres, "warehouse", "airflow")
    assert _ask(history, "SELECT count(state) FROM task_instance") == 0


def test_a_dump_that_is_not_there_changes_nothing(postgres: Container) -> None:
    answer = postgres.exec_run(["/opt/dairflow/restore.sh", "airflow-none.dump"])
    assert answer.exit_code == 1
    assert b"There is no dump airflow-none.dump. Nothing was changed." in answer.output
    _ask(_connect(postgres, "airflow", "airflow"), "SELECT 1")
