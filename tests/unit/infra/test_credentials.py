"""The registry's certificate is one that a strict client accepts, for its addresses only."""

import ssl
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.credentials import (
    CERTIFICATE_DAYS,
    Certificate,
    is_due,
    password,
    registry_certificate,
    renewed_registry_certificate,
)


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return registry_certificate(["127.0.0.1", "registry.test"])


def handshake(tmp_path: Path, certificate: Certificate, host: str) -> None:
    """Run a real TLS handshake over a socket pair."""
    import socket

    for name in ("certificate", "private_key"):
        (tmp_path / name).write_text(getattr(certificate, name))
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_context.load_cert_chain(tmp_path / "certificate", tmp_path / "private_key")
    client_context = ssl.create_default_context(cadata=certificate.authority)
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server_context.wrap_socket(theirs, server_side=True).close()
        except ssl.SSLError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client_context.wrap_socket(ours, server_hostname=host).close()
    finally:
        ours.close()
        thread.join(timeout=10)


@pytest.mark.parametrize("host", ["127.0.0.1", "registry.test"])
def test_a_strict_client_accepts_it(tmp_path: Path, certificate: Certificate, host: str) -> None:
    handshake(tmp_path, certificate, host)


def test_another_address_is_refused(tmp_path: Path, certificate: Certificate) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, certificate, "127.0.0.2")


def test_another_authority_is_refused(tmp_path: Path, certificate: Certificate) -> None:
    outsider = registry_certificate(["127.0.0.1"])
    mixed = Certificate(
        authority=certificate.authority,
        certificate=outsider.certificate,
        private_key=outsider.private_key,
    )
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, mixed, "127.0.0.1")


def test_a_certificate_is_due_at_half_of_its_life(certificate: Certificate) -> None:
    half = datetime.now(UTC) + timedelta(days=CERTIFICATE_DAYS / 2)
    assert not is_due(certificate.certificate, half - timedelta(days=1))
    assert is_due(certificate.certificate, half + timedelta(days=1))


def test_who_trusts_the_next_certificate_trusts_the_one_before_it_and_no_older_one(
    tmp_path: Path, certificate: Certificate
) -> None:
    """The nodes get the authorities first; then the registry changes its certificate."""
    addresses = ["127.0.0.1", "registry.test"]
    second = renewed_registry_certificate(addresses, certificate.authority)
    third = renewed_registry_certificate(addresses, second.authority)
    assert third.authority.count("BEGIN CERTIFICATE") == 2
    for shown in (second, third):
        handshake(tmp_path, replace(shown, authority=third.authority), "127.0.0.1")
    handshake(tmp_path, replace(certificate, authority=second.authority), "127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, replace(certificate, authority=third.authority), "127.0.0.1")


def test_the_key_is_not_shown(certificate: Certificate) -> None:
    assert "PRIVATE KEY" not in repr(certificate)


def test_passwords_differ_and_are_long() -> None:
    made = {password() for _ in range(100)}
    assert len(made) == 100
    assert all(len(text) == 32 for text in made)
