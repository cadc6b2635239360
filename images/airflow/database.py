#!/opt/airflow_env/bin/python -E
"""Query Airflow's database without importing Airflow, which takes CPU-seconds.

``wait-for-migration`` returns when the migration of this image's Airflow is complete;
``check-job TYPE`` checks whether this container's job of that type has a recent heartbeat.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

import psycopg2
import schema
from dairflow import secret_files

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECT_TIMEOUT_SECONDS = 3
HEARTBEAT_LIMIT_SECONDS = 60
PAUSE_SECONDS = 0.5
REPORT_EVERY_SECONDS = 10.0


def connect() -> psycopg2.extensions.connection:
    """Connect as Airflow does.

    Raises:
        SystemExit: if this service does not have the password.

    """
    password = secret_files.read("postgres_password")
    if password is None:
        sys.exit(f"the secret postgres_password is missing in {secret_files.folder()}")
    host, _, port = os.environ.get("DATABASE_ADDRESS", "postgres:5432").rpartition(":")
    return psycopg2.connect(
        host=host,
        port=port,
        user="airflow",
        dbname="airflow",
        password=password,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
    )


def release() -> str:
    """Name what the migration must have run for: the two packages that bring tables."""
    packages = ("apache-airflow-core", "apache-airflow-providers-fab")
    return " ".join(f"{package}=={version(package)}" for package in packages)


def migrated(connection: psycopg2.extensions.connection) -> bool:
    """Whether ``migrate.py`` has completed for this release, and the schema is still that one."""
    return schema.is_at(connection, release())


def wait_for(
    ready: Callable[[psycopg2.extensions.connection], object], what: str, timeout: float
) -> psycopg2.extensions.connection:
    """Poll until ``ready(connection)``; return the connection.

    Raises:
        SystemExit: after ``timeout`` seconds, with the last thing seen.

    """
    deadline = time.monotonic() + timeout
    next_report = 0.0
    connection = None
    while True:
        try:
            connection = connection or connect()
            connection.autocommit = True
            if ready(connection):
                return connection
            seen = "the database answers, but does not have it yet"
        except psycopg2.OperationalError as error:
            connection = None
            seen = " ".join(str(error).split())
        now = time.monotonic()
        if now > deadline:
            sys.exit(f"gave up after {timeout:.0f} s waiting for {what}; last seen: {seen}")
        if now >= next_report:
            print(f"waiting for {what}: {seen}", file=sys.stderr, flush=True)
            next_report = now + REPORT_EVERY_SECONDS
        time.sleep(PAUSE_SECONDS)


def check_job(job_type: str) -> None:
    """Exit with an error unless this host's job has a heartbeat that is recent."""
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM now() - max(latest_heartbeat)) FROM job"
            " WHERE job_type = %s AND hostname = %s AND state = 'running'",
            (job_type, socket.gethostname()),
        )
        age = schema.value(cursor)
    if age is None:
        sys.exit(f"no running {job_type} of {socket.gethostname()}")
    if age > HEARTBEAT_LIMIT_SECONDS:
        sys.exit(f"the last heartbeat of {job_type} is {age:.0f} s old")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    wait = commands.add_parser("wait-for-migration")
    wait.add_argument("--timeout", type=float, default=3_600.0)
    commands.add_parser("check-job").add_argument("type")
    arguments = parser.parse_args()
    if arguments.command == "check-job":
        check_job(arguments.type)
    else:
        wait_for(migrated, "the migration of Airflow's database", arguments.timeout).close()


if __name__ == "__main__":
    main()
