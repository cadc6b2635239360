"""Generates SSH key pairs: the operator's own, and host keys of machines."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """An Ed25519 key pair: ``private`` in OpenSSH's PEM, ``public`` as ``ssh-ed25519 AAAA…``."""

    private: str = field(repr=False)
    public: str


def generate_key_pair() -> KeyPair:
    """Generate a key pair with the operating system's random numbers."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return KeyPair(private=private.decode(), public=public.decode())
