"""Keeps the Fernet key in the database, encrypted with the passphrase of the backups.

So each backup, and each dump, has the key of its connections and variables as of the same moment.
A stack that restores it needs the passphrase only. `migrate.py` writes the copy, and encrypts the
values again if the stack has another key.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import schema

if TYPE_CHECKING:
    from cryptography.fernet import Fernet
    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class

SALT_BYTES = 16
SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}
"""The cost of a guess at the passphrase: 16 MiB, and some 50 ms (RFC 7914)."""


class KeyCopyError(Exception):
    """The copy is of a key that this stack does not have, and cannot be read."""


@dataclass(frozen=True)
class KeyCopy:
    """The copy as it is stored. ``fingerprint`` is a hash of the keys, which are random."""

    salt: bytes
    encrypted: bytes
    fingerprint: str


def encrypt(keys: str, passphrase: str) -> KeyCopy:
    """Encrypt Fernet keys, the present one first, with commas between them."""
    salt = secrets.token_bytes(SALT_BYTES)
    encrypted = _cipher(passphrase, salt).encrypt(keys.encode())
    return KeyCopy(salt, encrypted, fingerprint(keys))


def decrypt(copy: KeyCopy, passphrase: str, present: str) -> str:
    """Return the keys; ``present`` are the stack's own.

    Raises:
        KeyCopyError: the passphrase is another one, and the keys are not the stack's own.

    """
    from cryptography.fernet import InvalidToken

    try:
        return _cipher(passphrase, copy.salt).decrypt(copy.encrypted).decode()
    except InvalidToken:
        if copy.fingerprint == fingerprint(present):
            return present
        msg = (
            "Airflow's database has the key of its connections in a copy that this stack's"
            " backupPassphrase does not decrypt. Nothing was changed.\n"
            "Next: set backupPassphrase to that of the stack that the database is from, and run"
            " `pulumi up` again."
        )
        raise KeyCopyError(msg) from None


def missing(present: str, copied: str) -> list[str]:
    """Return the keys of a copy that the stack does not have."""
    return [key for key in copied.split(",") if key not in present.split(",")]


def fingerprint(keys: str) -> str:
    """Return a hash by which equal keys are known."""
    return hashlib.sha256(keys.encode()).hexdigest()


def load(connection: Connection) -> KeyCopy | None:
    """Read the copy; None before the first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('public.dairflow_fernet_key') IS NOT NULL")
        if not schema.value(cursor):
            return None
        cursor.execute("SELECT salt, encrypted, fingerprint FROM public.dairflow_fernet_key")
        row = cursor.fetchone()
    return KeyCopy(bytes(row[0]), bytes(row[1]), row[2]) if row else None


def store(connection: Connection, copy: KeyCopy) -> None:
    """Replace the copy, in one transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS public.dairflow_fernet_key"
            " (only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),"
            " salt bytea NOT NULL, encrypted bytea NOT NULL, fingerprint text NOT NULL)"
        )
        cursor.execute(
            "INSERT INTO public.dairflow_fernet_key (salt, encrypted, fingerprint)"
            " VALUES (%s, %s, %s) ON CONFLICT (only_one) DO UPDATE SET salt = excluded.salt,"
            " encrypted = excluded.encrypted, fingerprint = excluded.fingerprint",
            (copy.salt, copy.encrypted, copy.fingerprint),
        )


def _cipher(passphrase: str, salt: bytes) -> Fernet:
    from cryptography.fernet import Fernet

    key = hashlib.scrypt(passphrase.encode(), salt=salt, **SCRYPT)
    return Fernet(base64.urlsafe_b64encode(key))
