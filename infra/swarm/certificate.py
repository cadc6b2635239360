"""Parses a node's certificate, which identifies its swarm even without its engine; no I/O."""

from __future__ import annotations

from dataclasses import dataclass

VALIDITY_DAYS = 10 * 365
"""Validity of the swarm's new certificates. Nodes renew them after half to four fifths of that
time, so that at least a fifth is left: a cluster can be off for two years. Docker's 90 days leave
18. The swarm's root is valid for 20 years, and its rotation (``docker swarm ca --rotate``) renews
every certificate at once, regardless of this."""

VALIDITY_SECONDS = VALIDITY_DAYS * 24 * 3600


@dataclass(frozen=True, kw_only=True)
class NodeCertificate:
    """Identity of a node in its swarm. Times are in seconds since 1970."""

    node_id: str
    role: str
    cluster_id: str
    not_before: float
    not_after: float


def read_certificate(pem: str) -> NodeCertificate | None:
    """Read ``swarm-node.crt``; None if there is none.

    Swarmkit writes the node's ID as the common name, its role as the organizational unit and the
    swarm's ID as the organization (swarmkit, ca/certificates.go).

    Raises:
        ValueError: if the text is not such a certificate.

    """
    if not pem:
        return None
    from cryptography import x509  # noqa: PLC0415 - slow to import; not needed for a new cluster
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    found = x509.load_pem_x509_certificate(pem.encode())

    def name(oid: x509.ObjectIdentifier) -> str:
        (attribute,) = found.subject.get_attributes_for_oid(oid)
        return str(attribute.value)

    return NodeCertificate(
        node_id=name(NameOID.COMMON_NAME),
        role=name(NameOID.ORGANIZATIONAL_UNIT_NAME).removeprefix("swarm-"),
        cluster_id=name(NameOID.ORGANIZATION_NAME),
        not_before=found.not_valid_before_utc.timestamp(),
        not_after=found.not_valid_after_utc.timestamp(),
    )
