"""The settings of the mail server, and the checks that a type cannot express. No I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field

from infra.settings.problem import HIDDEN, invalid, missing, unused, unused_without
from infra.settings.types import HOST, Boolean, Certificates, Port, matching
from infra.stack.mail import IMPLICIT_TLS_PORT, MailServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.settings.problem import Problem

_HOST, _VALID_HOST = f"({HOST})?", "a host name or an IPv4 address, such as smtp.example.org"
_ADDRESS, _VALID_ADDRESS = (
    rf"((?=[!-~]*\Z)[^@<>,;]+@{HOST})?",
    "an address in ASCII, such as airflow@example.org",
)
_LOGIN, _VALID_LOGIN = (
    r"[ -~]*",
    "ASCII characters on one line: smtplib logs in with no others",
)


class MailSettings(BaseModel):
    """The server that sends the cluster's mail."""

    smtp_host: Annotated[str, matching(_HOST, _VALID_HOST), Field(alias="smtpHost")] = ""
    smtp_port: Annotated[Port, Field(alias="smtpPort")] = 587
    smtp_tls: Annotated[Literal["starttls", "implicit", "none"], Field(alias="smtpTls")] = (
        "starttls"
    )
    smtp_user: Annotated[str, matching(_LOGIN, _VALID_LOGIN), Field(alias="smtpUser")] = ""
    smtp_password: Annotated[str, Field(alias="smtpPassword", repr=False)] = ""
    smtp_from: Annotated[str, matching(_ADDRESS, _VALID_ADDRESS), Field(alias="smtpFrom")] = ""
    smtp_ca: Annotated[Certificates, Field(alias="smtpCa")] = ""
    smtp_check: Annotated[Boolean, Field(alias="smtpCheck")] = True

    @property
    def mail_server(self) -> MailServer | None:
        """The mail server, or None if the cluster sends no mail."""
        if not self.smtp_host:
            return None
        return MailServer(
            host=self.smtp_host,
            port=self.smtp_port,
            tls=self.smtp_tls,
            user=self.smtp_user,
            password=self.smtp_password,
            sender=self.smtp_from,
            authority=self.smtp_ca,
        )


_KEYS = ("smtpUser", "smtpPassword", "smtpFrom", "smtpCa")
"""Settings that have no effect without a server."""


def mail_problems(raw: Mapping[str, object]) -> Iterator[Problem]:
    """Report problems between the settings of the mail server."""
    if not raw.get("smtpHost"):
        yield from unused_without("smtpHost", _KEYS, raw)
        return
    if not raw.get("smtpFrom"):
        yield missing("smtpFrom", f"the sender of the cluster's mail: {_VALID_ADDRESS}")
    yield from _login_problems(raw)
    yield from _tls_problems(raw)


def _login_problems(raw: Mapping[str, object]) -> Iterator[Problem]:
    user, password = str(raw.get("smtpUser") or ""), str(raw.get("smtpPassword") or "")
    if user and not password:
        yield missing("smtpPassword", "the password of smtpUser, set with --secret")
    if password and not user:
        yield missing("smtpUser", "the user of smtpPassword")
    if not re.fullmatch(_LOGIN, password):
        yield invalid("smtpPassword", HIDDEN, _VALID_LOGIN)
    if password and raw.get("smtpTls") == "none":
        reason = "without TLS the password crosses the network readable"
        yield invalid("smtpTls", "none", f"'starttls' or 'implicit': {reason}")


def _tls_problems(raw: Mapping[str, object]) -> Iterator[Problem]:
    tls = raw.get("smtpTls", "starttls")
    if tls == "starttls" and str(raw.get("smtpPort", "")) == str(IMPLICIT_TLS_PORT):
        reason = f"servers expect TLS from the first byte on port {IMPLICIT_TLS_PORT}"
        yield invalid("smtpTls", tls, f"'implicit': {reason}")
    if raw.get("smtpCa") and tls == "none":
        yield unused("smtpCa", "smtpTls is none.")
