"""Checks at preview, from the operator's machine, that the mail server accepts the mail."""

from __future__ import annotations

import smtplib
import socket
import ssl
from typing import TYPE_CHECKING

from infra.errors import UserError

if TYPE_CHECKING:
    from infra.stack.mail import MailServer

SECONDS = 10
"""How long one answer of the server may take."""

_OK = 250
_REFUSED = "The cluster's mail server refused the check"
_NEXT = "Nothing was created or changed."
_ONLY_NODES = (
    "If only the cluster's machines reach it, skip the check: pulumi config set smtpCheck false"
)


class MailError(UserError):
    """The mail server does not accept the cluster's mail; the text has the cause."""


def check(server: MailServer) -> None:
    """Connect as the cluster does, log in and name the sender. No mail is sent.

    Raises:
        MailError: with the cause and the setting to change.

    """
    try:
        _talk(server)
    except OSError as error:  # of which smtplib's and ssl's errors are kinds
        name = f"{server.host}:{server.port}"
        msg = f"{_REFUSED}: {name} {_cause(error, server)}\n{_NEXT}"
        raise MailError(msg) from error


def _talk(server: MailServer) -> None:
    trusted = ssl.create_default_context()
    if server.authority:
        trusted.load_verify_locations(cadata=server.authority)
    with _client(server, trusted) as client:
        if server.tls == "starttls":
            client.starttls(context=trusted)
        if server.user:
            client.login(server.user, server.password)
        client.ehlo_or_helo_if_needed()
        code, reason = client.mail(server.sender)
        if code != _OK:
            raise smtplib.SMTPSenderRefused(code, reason, server.sender)
        client.rset()


def _client(server: MailServer, trusted: ssl.SSLContext) -> smtplib.SMTP:
    if server.tls == "implicit":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=SECONDS, context=trusted)
    return smtplib.SMTP(server.host, server.port, timeout=SECONDS)


def _cause(error: OSError, server: MailServer) -> str:
    if isinstance(error.__context__, TimeoutError):  # smtplib calls it a closed connection
        error = error.__context__
    match error:
        case ssl.SSLError():
            return _tls_cause(error)
        case smtplib.SMTPException():
            return _smtp_cause(error, server)
        case _:
            return f"{_network_cause(error)}. {_ONLY_NODES}"


def _tls_cause(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"has a certificate that is not trusted: {error.verify_message}. Fix smtpHost, or set"
            " smtpCa to the certificate authority of the server."
        )
    if error.reason == "WRONG_VERSION_NUMBER":
        return "does not speak TLS from the first byte. Set smtpTls to starttls."
    return f"does not agree on a TLS version or cipher: {error.reason}."


def _smtp_cause(error: smtplib.SMTPException, server: MailServer) -> str:
    match error:
        case smtplib.SMTPNotSupportedError() if server.tls == "starttls":
            return "does not support STARTTLS. Set smtpTls to implicit, usually with smtpPort 465."
        case smtplib.SMTPNotSupportedError():
            return f"does not support the login: {error}. Unset smtpUser and smtpPassword."
        case smtplib.SMTPAuthenticationError():
            return f"rejects smtpUser and smtpPassword: {_answer(error)}."
        case smtplib.SMTPSenderRefused():
            return f"rejects the sender {server.sender}: {_answer(error)}. Fix smtpFrom."
        case smtplib.SMTPResponseException():
            return f"answers {_answer(error)}."
        case _:
            return f"ends the connection: {error}. Check smtpPort and smtpTls."


def _network_cause(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"has no address on this machine: {error.strerror}. Fix smtpHost"
    if isinstance(error, TimeoutError):
        return f"does not answer within {SECONDS} s. Check smtpHost, smtpPort and smtpTls"
    return f"is not reachable from this machine: {error}"


def _answer(error: smtplib.SMTPResponseException) -> str:
    reason = error.smtp_error
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    return f"{error.smtp_code} {' '.join(text.split())}".strip().rstrip(".")
