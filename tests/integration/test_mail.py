"""Mail from the image: a real SMTP server with TLS, a login and a private authority."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import docker
import pytest

from infra.images import project_images
from infra.stack.mail import MailServer
from tests.smtp_server import PASSWORD, SENDER, USER, WARNINGS, smtp_server

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    *(pytest.mark.filterwarnings(text) for text in WARNINGS),
]

TO = "on-call@example.org"

NOTIFY = """
import asyncio
from dairflow import mail
mail.install()
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
notifier = SmtpNotifier(to="on-call@example.org", subject="late", html_content="<p>late</p>")
asyncio.run(notifier.async_notify({}))
"""
"""As a deadline's callback in the triggerer sends."""

FAIL = """
from types import SimpleNamespace
from airflow.sdk.execution_time.task_runner import _send_error_email_notification
import structlog
ti = SimpleNamespace(dag_id="nightly", task_id="load", try_number=2, max_tries=2, hostname="w",
                     log_url="http://cluster/log", mark_success_url="http://cluster/ok")
task = SimpleNamespace(email=["on-call@example.org"])
_send_error_email_notification(task, ti, {"ti": ti}, ValueError("no rows"), structlog.get_logger())
"""
"""As a failed task with ``email=`` sends."""


def sent(server: MailServer, folder: Path, *command: str, fails: bool = False) -> str:
    """Run a command in the image with the stack's secrets, and return what it prints."""
    folder.mkdir(mode=0o755, exist_ok=True)
    for name, value in server.secrets.items():
        (folder / name).write_text(value)
        (folder / name).chmod(0o644)
    client = docker.from_env()
    try:
        container = client.containers.run(
            project_images.reference("airflow"),
            list(command),
            environment=dict(server.variables),
            volumes={str(folder): {"bind": "/run/secrets", "mode": "ro"}},
            read_only=True,
            tmpfs={"/tmp": "", "/home/airflow": "uid=50000"},  # noqa: S108 - in the container
            detach=True,
        )
        try:
            status = container.wait()["StatusCode"]
            printed = container.logs().decode()
        finally:
            container.remove(force=True, v=True)
    finally:
        client.close()
    assert bool(status) == fails, printed
    return printed


@pytest.fixture
def gateway() -> str:
    client = docker.from_env()
    try:
        return client.networks.get("bridge").attrs["IPAM"]["Config"][0]["Gateway"]
    finally:
        client.close()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_every_way_of_sending_arrives(tls: str, gateway: str, tmp_path: Path) -> None:
    """The command, a deadline's notifier, and ``email=``; and what a wrong password prints."""
    with smtp_server(tmp_path, gateway, tls=tls) as mailbox:
        server = MailServer(
            host=gateway,
            port=mailbox.port,
            tls=tls,
            user=USER,
            password=PASSWORD,
            sender=SENDER,
            authority=mailbox.authority,
        )
        test = ("python", "-m", "dairflow.mail", TO)
        sent(server, tmp_path / "secrets", *test)
        sent(server, tmp_path / "secrets", "python", "-c", NOTIFY)
        sent(server, tmp_path / "secrets", "python", "-c", FAIL)
        wrong = sent(replace(server, password="x"), tmp_path / "secrets", *test, fails=True)
    assert "The mail server did not accept the mail: (535" in wrong
    assert "Traceback" not in wrong
    assert [recipients for recipients, _ in mailbox.mails] == [[TO]] * 3
    assert {mail["From"] for _, mail in mailbox.mails} == {SENDER}
    assert [mail["Subject"] for _, mail in mailbox.mails] == [
        "Airflow: test of the mail server",
        "late",
        "Airflow: nightly.load failed, try 2 of 3",
    ]
