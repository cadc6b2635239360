"""Generates the registry's password and certificate, with ``cryptography``. No I/O."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

PASSWORD_BYTES = 24
CERTIFICATE_DAYS = 3_650
"""Only the cluster's own nodes trust the authority, and each cluster has its own; see `is_due`."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A server's certificate and key, and the authority that signed it; PEM texts."""

    authority: str
    certificate: str
    private_key: str = field(repr=False)


def password() -> str:
    """Generate a password of 192 random bits, safe in URLs and shells."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def is_due(certificate: str, at: datetime) -> bool:
    """Return whether half of a certificate's life is over, and it is time for the next one."""
    parsed = x509.load_pem_x509_certificate(certificate.encode())
    life = parsed.not_valid_after_utc - parsed.not_valid_before_utc
    return at >= parsed.not_valid_before_utc + life / 2


def renewed_registry_certificate(addresses: Sequence[str], former: str) -> Certificate:
    """Make the next certificate. Its authority is two: the new one, then that of the ``former``.

    So who trusts it trusts what the registry shows before the change and after it. Of a former
    text with two authorities, the first signed the certificate in use.
    """
    new = registry_certificate(addresses)
    signer, *_ = x509.load_pem_x509_certificates(former.encode())
    kept = signer.public_bytes(serialization.Encoding.PEM).decode()
    return replace(new, authority=new.authority + kept)


def registry_certificate(addresses: Sequence[str]) -> Certificate:
    """Generate an authority and a certificate signed by it for ``addresses`` (IPs or names).

    They meet strict verification (RFC 5280, 4.2.1.1 and 4.2.1.2), Python's default from 3.13 on.
    """
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("dairflow registry authority")
    subject_key = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        _builder(authority_name, authority_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(subject_key, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name("dairflow registry"), authority_name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([_alternative(a) for a in addresses]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    return Certificate(
        authority=authority.public_bytes(serialization.Encoding.PEM).decode(),
        certificate=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        private_key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # a node's clock may be behind
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(address))
    except ValueError:
        return x509.DNSName(address)
