"""Airflow's connections to this cluster's databases and its mail server, from secrets' files."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.secrets.base_secrets import BaseSecretsBackend

from dairflow import secret_files

if TYPE_CHECKING:
    from collections.abc import Mapping

DATABASES: Mapping[str, str] = {"warehouse": "warehouse", "airflow_history": "airflow"}
"""Connection → the database that it leads to, with the role ``warehouse``."""

MAIL = "smtp_default"
"""The connection of the settings ``smtp…``: the secret with this name has it as JSON."""


def _user(password: str) -> str:
    """Return the password's own user, so that PgBouncer can accept two passwords.

    Its sessions are of the role ``warehouse`` (images/postgres/pgbouncer.sh).
    """
    return f"warehouse_{sha256(password.encode()).hexdigest()[:12]}"


class SecretFileConnections(BaseSecretsBackend):
    """A secrets backend. A service without the password does not have the connections."""

    def get_conn_value(self, conn_id: str, team_name: str | None = None) -> str | None:
        """Return the connection as a URI or JSON; None: Airflow tries its next backend."""
        del team_name
        if conn_id == MAIL:
            return secret_files.read(MAIL)
        database = DATABASES.get(conn_id)
        password = secret_files.read("warehouse_password") if database else None
        if password is None:
            return None
        address = os.environ.get("WAREHOUSE_ADDRESS", "pgbouncer:6432")
        return f"postgresql://{_user(password)}:{quote(password, safe='')}@{address}/{database}"

    def get_variable(self, key: str, team_name: str | None = None) -> str | None:
        """Return None: no variable comes from a secret."""
        del key, team_name
        return None

    def get_config(self, key: str) -> str | None:
        """Return None: no option comes from this backend."""
        del key
        return None
