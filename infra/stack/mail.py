"""The mail server of the stack, as Airflow's services receive it. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

IMPLICIT_TLS_PORT = 465
"""The port on which TLS is spoken from the first byte (RFC 8314)."""

CONNECTION = "smtp_default"
"""Airflow's connection for mail, and the name of the secret that has it."""
AUTHORITY = "smtp_ca"
"""The secret with the certificate authority of the mail server."""

CONNECTION_SERVICES = ("api-server", "dag-processor", "triggerer")
"""The services that read connections: a task asks the API server for them."""
SENDERS = ("api-server", "dag-processor", "triggerer", "worker")
"""The services that send: a test, callbacks of DAGs, deadlines, and tasks."""

CONNECTION_SECONDS = 30
"""How long a sender waits for the server."""


@dataclass(frozen=True, kw_only=True)
class MailServer:
    """A mail server.

    ``tls`` is ``starttls``, ``implicit`` or ``none``. ``user`` is empty for a server without login;
    ``authority`` is a PEM text, empty for a public one. ``sender`` is an address.
    """

    host: str
    port: int
    tls: str
    user: str = ""
    password: str = field(default="", repr=False)
    sender: str
    authority: str = ""

    @property
    def variables(self) -> Mapping[str, str]:
        """Airflow's options for mail of the old kind, ``email=`` and ``email_on_failure``."""
        return {"AIRFLOW__EMAIL__FROM_EMAIL": self.sender}

    @property
    def connection(self) -> str:
        """The connection as JSON, for the SMTP provider's hook.

        It has STARTTLS on unless ``disable_tls``, and TLS from the start unless ``disable_ssl``.
        """
        extra = {
            "from_email": self.sender,
            "timeout": CONNECTION_SECONDS,
            "retry_limit": 3,
            "disable_tls": self.tls != "starttls",
            "disable_ssl": self.tls != "implicit",
        }
        login = {"login": self.user, "password": self.password} if self.user else {}
        return json.dumps(
            {"conn_type": "smtp", "host": self.host, "port": self.port, **login, "extra": extra},
            sort_keys=True,
        )

    @property
    def secrets(self) -> Mapping[str, str]:
        """The values of the secrets, by name."""
        authority = {AUTHORITY: self.authority} if self.authority else {}
        return {CONNECTION: self.connection, **authority}

    def files(self, service: str) -> list[str]:
        """Return the names of the secrets that a service needs."""
        connection = [CONNECTION] if service in CONNECTION_SERVICES else []
        authority = [AUTHORITY] if self.authority and service in SENDERS else []
        return [*connection, *authority]
