#!/opt/airflow_env/bin/python -E
"""Bring Airflow's database to this image's release, and make its administrator.

One process does both, because most of either's time is the import of Airflow. If the release is
migrated already, nothing of Airflow is imported. A schema that this image does not have is refused,
and a database that has one is dumped and backed up before it is migrated.

The secret is the administrator's first password. From then on the user's accounts are Airflow's: a
password that was changed, and an administrator that was renamed or disabled, stay as they are. Only
another secret, which the operator asks for, sets the password again.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import key_copy
import psycopg2
import schema
from dairflow import secret_files
from database import migrated, release, wait_for

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class

ADMIN = os.environ.get("ADMIN_USER", "admin")
DATABASE_TIMEOUT_SECONDS = 3_600.0
HISTORY_READER = "warehouse"
HISTORY_COLUMNS = (
    "dag_id, task_id, run_id, map_index, try_number, state, hostname, start_date, end_date"
)
"""What tasks may read of Airflow's own table of task instances: what ran where, and when."""

AIRFLOWS_DEFAULT_POOL_SLOTS = 128
WITHOUT_LIMIT = -1
"""A pool's number of slots that limits nothing: the workers' slots do."""


SECRET_OPTION = re.compile(r"AIRFLOW__(?P<section>[A-Z0-9_]+?)__(?P<option>[A-Z0-9_]+)_CMD")
"""The variable that has the command of a secret option."""


def refuse_ignored_secrets() -> None:
    """End with an error if Airflow would not read a secret option from its command.

    It reads those that the description of a section marks as sensitive, a provider's section
    included. It would use the default of any other, without a warning.

    Raises:
        SystemExit: naming the options.

    """
    matches = [found for name in os.environ if (found := SECRET_OPTION.fullmatch(name))]
    if not matches:
        return
    from airflow.configuration import conf

    asked = {(found["section"].lower(), found["option"].lower()) for found in matches}
    ignored = sorted(".".join(name) for name in asked - conf.sensitive_config_values)
    if ignored:
        sys.exit(
            f"Airflow reads these options from its environment alone: {', '.join(ignored)}. They"
            " were set with --secret, so it would use their defaults.\n"
            "Next: set each without --secret (`pulumi config set --path airflowConfig.…`). Is it a"
            " password? The package of the option then has another place for it, such as a"
            " connection."
        )


def admin_password() -> str:
    """Read the secret; without the file's last line break."""
    path = Path(os.environ.get("SECRETS", "/run/secrets"), "admin_password")
    return path.read_text().rstrip("\n")


def migrate() -> None:
    """Create or upgrade all tables, FAB's included, and its roles and permissions."""
    from airflow.utils.db import upgradedb
    from airflow.utils.providers_configuration_loader import providers_configuration_loaded

    providers_configuration_loaded(upgradedb)()


def sync_accounts(password: str, *, wanted: bool = False) -> None:
    """Create FAB's roles and permissions, and the administrator if there is no user at all.

    ``wanted`` creates it beside others.
    """
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        builder.add_permissions(update_perms=True)
        accounts: Any = builder.sm  # the FAB provider's, which its base class does not declare
        accounts.sync_roles()
        if accounts.count_users() and not wanted:
            return
        role = accounts.find_role("Admin")
        # An administrator that was renamed keeps its address, and no two accounts share one.
        taken = accounts.find_user(email=f"{ADMIN}@localhost")
        address = f"{ADMIN}-{secrets.token_hex(4)}@localhost" if taken else f"{ADMIN}@localhost"
        added = accounts.add_user(ADMIN, "Ad", "Min", address, role, password)
        if not added:
            sys.exit(f"FAB did not create the user {ADMIN}; its log above says why")


def applied_password(connection: Connection) -> str | None:
    """Return the hash of the secret that the administrator was last given, or None.

    It is not the account's own password, which its owner may have changed.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS dairflow_administrator"
            " (password_hash text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        cursor.execute(
            "SELECT password_hash FROM dairflow_administrator ORDER BY applied_at DESC LIMIT 1"
        )
        row = cursor.fetchone()
    return row[0] if row else None


def reset_administrator(connection: Connection, password: str) -> None:
    """Let the administrator sign in with ``password``; create it again if it is gone."""
    from werkzeug.security import generate_password_hash

    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ab_user SET password = %s, active = true WHERE username = %s",
            (generate_password_hash(password), ADMIN),
        )
        if cursor.rowcount == 0:
            sync_accounts(password, wanted=True)


def apply_password(connection: Connection, password: str) -> bool:
    """Set the administrator's password if the secret differs from the last one; return whether."""
    from werkzeug.security import check_password_hash, generate_password_hash

    applied = applied_password(connection)
    if applied and check_password_hash(applied, password):
        return False
    if applied:
        reset_administrator(connection, password)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO dairflow_administrator (password_hash) VALUES (%s)",
            (generate_password_hash(password),),
        )
    return applied is not None


def share_history(connection: Connection) -> None:
    """Let tasks read how long tasks took, and nothing else of Airflow's database."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"GRANT CONNECT ON DATABASE airflow TO {HISTORY_READER};"
            f"GRANT SELECT ({HISTORY_COLUMNS}) ON task_instance TO {HISTORY_READER}"
        )


def has_history_reader(connection: Connection) -> bool:
    """Whether the database's image, which makes the role at its start, is as new as this one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT true FROM pg_roles WHERE rolname = %s", (HISTORY_READER,))
        return cursor.fetchone() is not None


def open_default_pool(connection: Connection) -> None:
    """Remove the limit of the default pool, once, unless somebody has chosen one.

    A database that an earlier release made has Airflow's own limit, which a large cluster's slots
    exceed. The table remembers that this was done: a limit of 128 set later is the user's.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('dairflow_default_pool') IS NULL")
        if schema.value(cursor):
            cursor.execute(
                "UPDATE slot_pool SET slots = %s WHERE pool = 'default_pool' AND slots = %s",
                (WITHOUT_LIMIT, AIRFLOWS_DEFAULT_POOL_SLOTS),
            )
            cursor.execute(
                "CREATE TABLE dairflow_default_pool (opened_at timestamptz NOT NULL DEFAULT now())"
            )


def dump_before_migration(connection: Connection) -> str | None:
    """Dump and back up a database that the migration is about to change; return the dump's name.

    Raises:
        SystemExit: the database's schema is not one that this image has.

    """
    image = schema.chains()
    try:
        found = schema.require_known(connection, image, release())
    except schema.SchemaError as error:
        sys.exit(str(error))
    if schema.CORE not in found or not schema.is_pending(found, image):
        return None
    what = "the database of this release, with its functions dairflow.dump_database and back_up"
    wait_for(schema.has_functions, what, DATABASE_TIMEOUT_SECONDS).close()
    print("dumping and backing up the database before its migration", flush=True)
    try:
        dump = schema.dump(connection, found)
        schema.back_up(connection)
    except psycopg2.Error as error:
        sys.exit(
            f"The dump or the backup before the migration failed: {str(error).strip()}\n"
            "Nothing was changed, and no other service of this image starts.\n"
            "Next: see why in the log of the service postgres; is the first manager's disk full, or"
            " is the repository of the backups away? The migration is tried again by itself."
        )
    print(f"the database as it was before is in the dump {dump}: see docs/database.md", flush=True)
    return dump


def keep_fernet_key(connection: Connection) -> None:
    """Store the Fernet key beside what it encrypts; see `key_copy`.

    A database that was restored has a copy of another stack's key: its values are encrypted again.

    Raises:
        SystemExit: the copy cannot be read.

    """
    present, passphrase = required_secret("fernet_key"), required_secret("backup_passphrase")
    copy = key_copy.load(connection)
    if copy is not None:
        try:
            others = key_copy.missing(present, key_copy.decrypt(copy, passphrase, present))
        except key_copy.KeyCopyError as error:
            sys.exit(str(error))
        if others:
            print("the database has another Fernet key: encrypting its values with this stack's")
            encrypt_again(",".join([present, *others]))
    key_copy.store(connection, key_copy.encrypt(present, passphrase))


def required_secret(name: str) -> str:
    """Return a secret that every database has.

    Raises:
        SystemExit: the service does not have it.

    """
    value = secret_files.read(name)
    if value is None:
        sys.exit(f"the secret {name} is missing in {secret_files.folder()}: migrate needs it")
    return value


def encrypt_again(keys: str) -> None:
    """Run Airflow's own command, which reads with all keys and writes with the first.

    It reads its secrets from a folder in memory.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in ("postgres_password", "jwt_secret", "api_secret_key"):
            Path(folder, name).write_text(secret_files.read(name) or "")
        Path(folder, "fernet_key").write_text(keys)
        subprocess.run(
            ["airflow", "rotate-fernet-key"],  # the image's own
            env={**os.environ, "SECRETS": folder},
            check=True,
        )


def main() -> None:
    """Run the migration."""
    refuse_ignored_secrets()
    connection = wait_for(
        has_history_reader, f"the database with the role {HISTORY_READER}", DATABASE_TIMEOUT_SECONDS
    )
    password = admin_password()
    if migrated(connection):
        print(f"the database is at {release()} already")
    else:
        dump = dump_before_migration(connection)
        migrate()
        sync_accounts(password)
        schema.record(connection, release(), dump)
        print(f"the database is at {release()}")
    keep_fernet_key(connection)
    share_history(connection)
    open_default_pool(connection)
    if apply_password(connection, password):
        print(f"the password of {ADMIN} is the new secret's")


if __name__ == "__main__":
    main()
