"""The settings of the mail server."""

from __future__ import annotations

import json

import pytest

from infra import credentials
from infra.settings.parse import SettingsError
from infra.stack.mail import AUTHORITY, CONNECTION
from tests.unit.parsed import parse

SERVER = {"smtpHost": "smtp.example.org", "smtpFrom": "airflow@example.org"}
LOGIN = {**SERVER, "smtpUser": "airflow", "smtpPassword": "hunter2hunter2"}
CA = credentials.registry_certificate(["smtp.example.org"]).authority
BROKEN_CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"


def test_without_a_host_there_is_no_mail() -> None:
    assert parse({}).mail_server is None


def test_the_connection_is_that_of_the_smtp_provider() -> None:
    made = json.loads(parse(LOGIN).mail_server.connection)
    assert (made["conn_type"], made["host"], made["port"]) == ("smtp", "smtp.example.org", 587)
    assert (made["login"], made["password"]) == ("airflow", "hunter2hunter2")
    assert made["extra"]["from_email"] == "airflow@example.org"


@pytest.mark.parametrize(
    ("tls", "disabled"),
    [("starttls", (False, True)), ("implicit", (True, False)), ("none", (True, True))],
)
def test_each_kind_of_tls_is_the_providers(tls: str, disabled: tuple[bool, bool]) -> None:
    extra = json.loads(parse({**SERVER, "smtpTls": tls}).mail_server.connection)["extra"]
    assert (extra["disable_tls"], extra["disable_ssl"]) == disabled


def test_a_server_without_a_login_gets_none() -> None:
    assert not {"login", "password"} & json.loads(parse(SERVER).mail_server.connection).keys()


def test_services_get_what_they_need() -> None:
    """A worker sends, and gets the connection from the API server."""
    server = parse({**SERVER, "smtpCa": CA}).mail_server
    assert server.files("worker") == [AUTHORITY]
    assert server.files("triggerer") == [CONNECTION, AUTHORITY]
    assert server.files("scheduler") == []
    assert set(server.secrets) == {CONNECTION, AUTHORITY}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"smtpFrom": ""}, "smtpFrom: .*airflow@example.org"),
        ({"smtpFrom": "Airflow <a@b.c>"}, "smtpFrom: .*an address in ASCII"),
        ({"smtpHost": "smtp://mail"}, "smtpHost: .*a host name"),
        ({"smtpPassword": ""}, "smtpPassword: .*set with --secret"),
        ({"smtpUser": ""}, "smtpUser: .*the user of smtpPassword"),
        ({"smtpPassword": "a-first-line\na-second"}, "smtpPassword: .*on one line"),
        ({"smtpPassword": "wörd"}, "smtpPassword: .*ASCII"),
        ({"smtpUser": "jörg"}, "smtpUser: 'jörg' .*ASCII"),
        ({"smtpFrom": "jörg@example.org"}, "smtpFrom: .*in ASCII"),
        ({"smtpFrom": "airflow@example..org"}, "smtpFrom: .*an address"),
        ({"smtpHost": "mail..example.org"}, "smtpHost: .*a host name"),
        ({"smtpHost": f"{'a' * 64}.example.org"}, "smtpHost: .*a host name"),
        ({"smtpHost": ".".join(["a" * 63] * 4)}, "smtpHost: .*a host name"),
        ({"smtpTls": "none"}, "smtpTls: .*readable"),
        ({"smtpTls": "tls"}, "smtpTls: .*'starttls', 'implicit' or 'none'"),
        ({"smtpPort": "465"}, "smtpTls: .*'implicit'"),
        ({"smtpCa": "/etc/ca.pem"}, "smtpCa: .*a PEM text"),
        ({"smtpCa": BROKEN_CA}, "smtpCa: .*a PEM text"),
        ({"smtpCa": CA + BROKEN_CA}, "smtpCa: .*a PEM text"),
        ({"smtpCa": "ö"}, "smtpCa: .*a PEM text"),
        ({"smtpHost": ""}, "smtpUser: .*smtpHost, which is not set"),
    ],
)
def test_what_cannot_work_is_refused(changed: dict[str, str], expected: str) -> None:
    with pytest.raises(SettingsError, match=expected) as caught:
        parse({**LOGIN, **changed})
    assert "hunter2hunter2" not in str(caught.value)
    assert "a-first-line" not in str(caught.value)
