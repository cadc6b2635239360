"""The project's own Pulumi backend and passphrase, so that no account is needed."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.errors import SetupError
from tools.process import probe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tools.paths import Paths

LOGIN_TIMEOUT_SECONDS = 60
PASSPHRASE_BYTES = 32
OWN_BACKEND_SUFFIX = "/.dairflow/state"


@dataclass(frozen=True, kw_only=True)
class ProjectState:
    """A `file://` backend and a passphrase file, both inside the project's state folder.

    The backend is chosen by `pulumi login` in the project's Pulumi home and not by an environment
    variable, so that a user's own `pulumi login` in the same shell simply replaces it.
    """

    paths: Paths
    pulumi: Callable[[], str]
    """Returns the path of the `pulumi` to use."""
    say: Callable[[str], None]
    name: str = "Pulumi state"

    def check(self) -> str | None:
        """Return the backend, or None when there is none yet or the clone was moved."""
        backend = self._backend()
        if backend is None or not self._passphrase.exists():
            return None
        moved = backend.endswith(OWN_BACKEND_SUFFIX) and backend != self._own_backend
        return None if moved else backend

    def install(self) -> None:
        """Make what is missing; never overwrites a passphrase, nor a user's own login."""
        for folder in (self.paths.state / "state", self.paths.pulumi_home, self.paths.programs):
            folder.mkdir(parents=True, exist_ok=True)
        if not self._passphrase.exists():
            self.say(f"• {self.name}: makes a passphrase in {self._passphrase}: keep that file")
            write_passphrase(self._passphrase)
        backend = self._backend()
        if backend is None or backend.endswith(OWN_BACKEND_SUFFIX):
            self.say(f"• {self.name}: pulumi login {self._own_backend} (in the project's own home)")
            self._log_in()

    @property
    def _passphrase(self) -> Path:
        return self.paths.state / "passphrase"

    @property
    def _own_backend(self) -> str:
        return f"file://{self.paths.state / 'state'}"

    def _backend(self) -> str | None:
        try:
            credentials = json.loads((self.paths.pulumi_home / "credentials.json").read_text())
        except (OSError, ValueError):
            return None
        return credentials.get("current") or None

    def _log_in(self) -> None:
        ours = ("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN", "PULUMI_CREDENTIALS_PATH")
        environment = {key: value for key, value in os.environ.items() if key not in ours}
        answer = probe(
            [self.pulumi(), "login", self._own_backend, "--non-interactive"],
            timeout=LOGIN_TIMEOUT_SECONDS,
            env={
                **environment,
                "PULUMI_HOME": str(self.paths.pulumi_home),
                "PULUMI_SKIP_UPDATE_CHECK": "true",
            },
        )
        if answer.returncode != 0:
            message = f"`pulumi login {self._own_backend}` failed: {answer.stderr.strip()}"
            raise SetupError(message)


def write_passphrase(file: Path) -> None:
    """Write a new random passphrase that only its owner may read.

    Raises FileExistsError rather than overwrite one: the stacks made with it would be lost.
    """
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as output:
        output.write(secrets.token_urlsafe(PASSPHRASE_BYTES) + "\n")
