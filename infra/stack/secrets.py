"""The stack's secrets: their names, their generation, and their names on a swarm."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING

from infra.stack.backups import BACKUP_PASSPHRASE
from infra.stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET_NAMES = (
    "postgres_password",
    "warehouse_password",
    "pooler_password",
    "redis_password",
    "fernet_key",
    BACKUP_PASSPHRASE,
    "jwt_secret",
    "api_secret_key",
    "admin_password",
    "flower_password",
)
"""Each is a file with this name in ``/run/secrets`` of the services that need it."""

NAMING_KEY = "naming_key"
"""The key of the hashes in the swarm's names. It is never a file and never changes, so that
rotating a secret renames only that secret."""

FERNET_KEY = "fernet_key"
RETIRED_FERNET_KEYS = "fernet_keys_retired"
"""All former Fernet keys, newest first, separated by commas. After interrupted rotations, some
values may be readable only with an older one. It is never a file."""

POOLER_PASSWORD = "pooler_password"  # noqa: S105 - its name
WAREHOUSE_PASSWORD = "warehouse_password"  # noqa: S105 - its name
"""What tasks show PgBouncer. PgBouncer's own password at the database is ``pooler_password``."""
NEXT_WAREHOUSE_PASSWORD = "warehouse_password_next"  # noqa: S105 - its name
RETIRED_WAREHOUSE_PASSWORD = "warehouse_password_retired"  # noqa: S105 - its name
"""The password before the current one, after a rotation: tasks that run have it
(``images/postgres/pgbouncer.sh``)."""

JWT_SECRET = "jwt_secret"  # noqa: S105 - its name
NEXT_JWT_SECRET = "jwt_secret_next"  # noqa: S105 - its name
RETIRED_JWT_SECRET = "jwt_secret_retired"  # noqa: S105 - its name
"""The key before the current one, after a rotation: running and waiting tasks have its tokens. It
is a file beside ``jwt_secret`` (``images/airflow/jwt_keys.py``)."""

NEXT = {JWT_SECRET: NEXT_JWT_SECRET, WAREHOUSE_PASSWORD: NEXT_WAREHOUSE_PASSWORD}
"""The secrets that are accepted in a rotation's first deployment, and shown to others from its
second one on, with the name of the coming value."""

RETIRED = {JWT_SECRET: RETIRED_JWT_SECRET, WAREHOUSE_PASSWORD: RETIRED_WAREHOUSE_PASSWORD}
"""The secrets whose former value is accepted until the next rotation, and its name."""

_HASH_DIGITS = 12
_NAME_CHARACTERS = 64
_PASSWORD_BYTES = 24
_KEY_BYTES = 64
_FERNET_BYTES = 32


def generate() -> dict[str, str]:
    """Generate a value for every secret with the operating system's random numbers."""
    return {name: _generate_one(name) for name in SECRET_NAMES}


def of_services(values: Mapping[str, str]) -> dict[str, str]:
    """Return the values that the services' document depends on, of all of the stack's."""
    return {
        name: values[name]
        for name in (*SECRET_NAMES, NAMING_KEY, *RETIRED.values())
        if name in values
    }


def hashed_name(stack: str, logical: str, value: str, key: str) -> str:
    """Return the swarm's name for a secret, which changes with the value: secrets are immutable.

    The hash is keyed, so that its name does not help to guess a weak password. A long logical name
    is cut, because the engine allows 64 characters.
    """
    digest = hmac.new(key.encode(), f"{logical}\0{value}".encode(), hashlib.sha256).hexdigest()
    room = _NAME_CHARACTERS - len(stack) - _HASH_DIGITS - 2
    return f"{stack}_{logical[:room]}_{digest[:_HASH_DIGITS]}"


def require(values: Mapping[str, str]) -> None:
    """Check that every secret has a value, on one line.

    Raises:
        StackError: names the unusable secrets, never a value.

    """
    missing = [name for name in SECRET_NAMES if not values.get(name)]
    if missing:
        msg = f"these secrets have no value: {', '.join(missing)}. All are required."
        raise StackError(msg)
    broken = [name for name in SECRET_NAMES if values[name].splitlines() != [values[name]]]
    if broken:
        msg = f"these secrets contain a line break: {', '.join(broken)}. Use one line for each."
        raise StackError(msg)


def _generate_one(name: str) -> str:
    if name == "fernet_key":
        return urlsafe_b64encode(secrets.token_bytes(_FERNET_BYTES)).decode()
    is_password = name.endswith("_password")
    return secrets.token_urlsafe(_PASSWORD_BYTES if is_password else _KEY_BYTES)
