"""A real SMTP server with TLS and a login, for tests of mail."""

from __future__ import annotations

import contextlib
import email
import socket
import ssl
from dataclasses import dataclass, field
from email.policy import default
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from infra.credentials import registry_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from pathlib import Path

WARNINGS = (
    "ignore:Requiring AUTH while not requiring TLS",  # TLS from the first byte does not count
    "ignore:Session.login_data is deprecated",
)
"""What the server's library warns of in its own thread, for ``pytest.mark.filterwarnings``."""

USER, PASSWORD, SENDER = "airflow", "hunter2hunter2", "airflow@example.org"


@dataclass
class Mailbox:
    """What arrived, and how the server is reached."""

    port: int = 0
    authority: str = ""
    mails: list[tuple[list[str], Message]] = field(default_factory=list[Any])

    async def handle_MAIL(self, _: Any, session: Any, envelope: Any, sender: str, __: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Accept one sender."""
        del session
        if sender != SENDER:
            return "550 5.7.1 not a sender of ours"
        envelope.mail_from = sender
        return "250 OK"

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep the mail."""

        mail = email.message_from_bytes(envelope.content, policy=default)
        self.mails.append((envelope.rcpt_tos, mail))
        return "250 OK"


def _login(_: Any, __: Any, ___: Any, ____: str, data: LoginPassword) -> AuthResult:
    known = data == LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=known, handled=False)


@contextlib.contextmanager
def smtp_server(
    folder: Path, address: str = "127.0.0.1", *, tls: str = "starttls"
) -> Iterator[Mailbox]:
    """Run a server on a free port of an address that its certificate names.

    ``tls`` is ``starttls``, ``implicit`` or ``none``; without TLS it has no login.
    """
    made = registry_certificate([address])
    chain = folder / "server.pem"
    chain.write_text(f"{made.private_key}\n{made.certificate}")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)
    mailbox = Mailbox(authority=made.authority)
    options: dict[str, Any] = {}
    if tls != "none":
        options = {"auth_required": True, "authenticator": _login}
    if tls == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    if tls == "implicit":
        options |= {"ssl_context": context, "auth_require_tls": False}
    with socket.create_server((address, 0)) as free:
        mailbox.port = free.getsockname()[1]  # the controller connects to its port once, not to 0
    server = Controller(mailbox, hostname=address, port=mailbox.port, **options)
    server.start()
    try:
        yield mailbox
    finally:
        server.stop()
