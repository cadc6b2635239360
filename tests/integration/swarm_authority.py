"""A swarm's root certificate whose key the test has, so that it can let certificates expire.

A node's clock is this machine's, and the swarm signs nothing for less than half an hour. With its
own root (``docker swarm ca --rotate``), a test signs what the swarm would have signed long ago.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import tenacity
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conftest import Lab

    from infra.remote.machine import Machine

NODE_CERTIFICATE = "/var/lib/docker/swarm/certificates/swarm-node.crt"
_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "swarm-ca")])


class Authority:
    """The root of one lab's swarm."""

    def __init__(self, lab: Lab, manager: Machine, machines: Iterable[Machine]) -> None:
        """Let the swarm use it, and wait until every node has a certificate of it."""
        self._lab = lab
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.issuer = self._sign(
            x509.CertificateBuilder(
                issuer_name=_NAME,
                subject_name=_NAME,
                public_key=self._key.public_key(),
                extensions=[
                    x509.Extension(oid=value.oid, critical=critical, value=value)
                    for value, critical in (
                        (x509.BasicConstraints(ca=True, path_length=1), True),
                        (_SIGNS, True),
                        (x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), False),
                    )
                ],
            ),
            since=timedelta(days=400),
            until=timedelta(days=7000),
        )
        private = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        lab.run(manager, "cat > /run/root.crt", stdin=self.issuer)
        lab.run(manager, "umask 077; cat > /run/root.key", stdin=private)
        lab.run(
            manager,
            "docker swarm ca --rotate --quiet --ca-cert /run/root.crt --ca-key /run/root.key",
            timeout=90,
        )
        for machine in machines:
            self._await_renewal(machine)

    def validity_days(self, machine: Machine) -> float:
        """Return for how long a node's certificate is valid."""
        found = self._read(machine)
        return (found.not_valid_after_utc - found.not_valid_before_utc) / timedelta(days=1)

    def expire(self, *machines: Machine) -> None:
        """Stop the machines, and start them as if they had been off for a hundred days."""
        for machine in machines:
            now = self._read(machine)
            signed = self._sign(
                x509.CertificateBuilder(
                    issuer_name=_NAME,
                    subject_name=now.subject,
                    public_key=now.public_key(),  # type: ignore[arg-type] # an EC key
                    extensions=list(now.extensions),
                ),
                since=timedelta(days=190),
                until=timedelta(days=-100),
            )
            self._lab.run(machine, f"cat > {NODE_CERTIFICATE}", stdin=signed)
        self._lab.restart(*machines)

    def _read(self, machine: Machine) -> x509.Certificate:
        pem = self._lab.run(machine, f"cat {NODE_CERTIFICATE}")
        return x509.load_pem_x509_certificate(pem.encode())

    def _await_renewal(self, machine: Machine) -> None:
        root = x509.load_pem_x509_certificate(self.issuer)

        def renewed() -> bool:
            try:
                self._read(machine).verify_directly_issued_by(root)
            except Exception:  # noqa: BLE001 - another root's signature fails in its own way
                return False
            return True

        tenacity.Retrying(
            stop=tenacity.stop_after_delay(30),
            wait=tenacity.wait_fixed(0.2),
            retry=tenacity.retry_if_result(lambda result: not result),
        )(renewed)

    def _sign(
        self, builder: x509.CertificateBuilder, *, since: timedelta, until: timedelta
    ) -> bytes:
        now = datetime.now(UTC)
        return (
            builder.serial_number(x509.random_serial_number())
            .not_valid_before(now - since)
            .not_valid_after(now + until)
            .sign(self._key, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        )


_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
