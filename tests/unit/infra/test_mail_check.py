"""The check of the mail server at preview, against a real server."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra import mail_check
from infra.stack.mail import MailServer
from tests.smtp_server import PASSWORD, SENDER, USER, WARNINGS, Mailbox, smtp_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = [pytest.mark.filterwarnings(text) for text in WARNINGS]


@pytest.fixture(scope="module", params=["starttls", "implicit"])
def mailbox(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Mailbox, str]]:
    with smtp_server(tmp_path_factory.mktemp("smtp"), tls=request.param) as mailbox:
        yield mailbox, request.param


@pytest.fixture
def server(mailbox: tuple[Mailbox, str]) -> MailServer:
    running, tls = mailbox
    return MailServer(
        host="127.0.0.1",
        port=running.port,
        tls=tls,
        user=USER,
        password=PASSWORD,
        sender=SENDER,
        authority=running.authority,
    )


def refusal(server: MailServer) -> str:
    with pytest.raises(mail_check.MailError) as caught:
        mail_check.check(server)
    assert "Nothing was created or changed" in str(caught.value)
    assert not server.password or server.password not in str(caught.value)
    return str(caught.value)


def test_a_server_that_accepts_the_mail_gets_none(
    server: MailServer, mailbox: tuple[Mailbox, str]
) -> None:
    mail_check.check(server)
    assert mailbox[0].mails == []


def test_a_wrong_password_is_named(server: MailServer) -> None:
    wrong = refusal(replace(server, password="another-password"))
    assert "rejects smtpUser and smtpPassword: 535" in wrong


def test_a_sender_that_is_refused_is_named(server: MailServer) -> None:
    wrong = refusal(replace(server, sender="root@example.net"))
    assert "rejects the sender root@example.net: 550 5.7.1 not a sender of ours." in wrong


def test_an_authority_that_is_not_known_is_named(server: MailServer) -> None:
    assert "set smtpCa to the certificate authority" in refusal(replace(server, authority=""))


def test_a_name_that_the_certificate_does_not_have_is_named(server: MailServer) -> None:
    wrong = refusal(replace(server, host="localhost"))
    assert "has a certificate that is not trusted: Hostname mismatch" in wrong


def test_tls_from_the_first_byte_if_the_server_expects_starttls(tmp_path: Path) -> None:
    with smtp_server(tmp_path) as mailbox:
        server = MailServer(host="127.0.0.1", port=mailbox.port, tls="implicit", sender=SENDER)
        assert "Set smtpTls to starttls" in refusal(server)


def test_starttls_that_the_server_does_not_have(tmp_path: Path) -> None:
    with smtp_server(tmp_path, tls="none") as mailbox:
        server = MailServer(host="127.0.0.1", port=mailbox.port, tls="starttls", sender=SENDER)
        assert "does not support STARTTLS. Set smtpTls to implicit" in refusal(server)
        mail_check.check(replace(server, tls="none"))


def test_a_port_without_a_server_and_a_name_without_an_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = MailServer(host="127.0.0.1", port=free.getsockname()[1], tls="none", sender=SENDER)
        assert "is not reachable from this machine: " in refusal(server)
    wrong = refusal(replace(server, host="smtp.invalid"))
    assert "smtp.invalid" in wrong
    assert "has no address on this machine" in wrong
    assert "pulumi config set smtpCheck false" in wrong


def test_a_server_that_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_check, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = MailServer(
            host="127.0.0.1", port=silent.getsockname()[1], tls="starttls", sender=SENDER
        )
        assert "does not answer within" in refusal(server)
