"""The secrets of the laptop's services, which docker-compose.yaml mounts as files."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tools.paths import Paths

PASSWORD_BYTES = 24
KEY_BYTES = 64
FERNET_BYTES = 32


def _password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)


def _key() -> str:
    return secrets.token_urlsafe(KEY_BYTES)


def _fernet_key() -> str:
    """Return 32 random bytes in URL-safe base64, as the Fernet specification wants its key."""
    return base64.urlsafe_b64encode(secrets.token_bytes(FERNET_BYTES)).decode()


GENERATORS: Mapping[str, Callable[[], str]] = {
    "postgres_password": _password,
    "warehouse_password": _password,
    "pooler_password": _password,
    "redis_password": _password,
    "fernet_key": _fernet_key,
    "backup_passphrase": _key,
    "jwt_secret": _key,
    "api_secret_key": _key,
    "admin_password": _password,
    "flower_password": _password,
}


@dataclass(frozen=True, kw_only=True)
class LaptopSecrets:
    """One file for each secret, made once and never changed: the data volumes depend on them.

    Only their owner can enter the folder. The files themselves are readable, because Compose
    mounts them as they are into containers whose user is not the owner.
    """

    paths: Paths
    say: Callable[[str], None]
    name: str = "laptop's secrets"

    def check(self) -> str | None:
        """Return their folder when all are there."""
        return None if missing(self._folder) else ".dairflow/dev-secrets"

    def install(self) -> None:
        """Make those that are missing."""
        self.say(f"• {self.name}: generates passwords and keys in {self._folder}")
        write_missing(self._folder)

    @property
    def _folder(self) -> Path:
        return self.paths.state / "dev-secrets"


def missing(folder: Path) -> list[str]:
    """Return the names of the secrets that the folder does not have."""
    return [name for name in GENERATORS if not (folder / name).is_file()]


def write_missing(folder: Path) -> None:
    """Write the secrets that the folder does not have."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name in missing(folder):
        file = folder / name
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(GENERATORS[name]())
        unfinished.chmod(0o644)
        unfinished.rename(file)
