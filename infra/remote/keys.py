"""Generates SSH key pairs: the operator's own, and host keys of machines."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
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


def public_key(private: str) -> str:
    """Return the public half of a private key in OpenSSH's PEM, as ``ssh-ed25519 AAAA…``."""
    key = load_ssh_private_key(private.encode(), password=None).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
