"""The Python packages of one target, in a folder of their own beside the environment's.

In the environment itself, Pulumi would get their plugin for every stack, whatever its target.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools.paths import digest_of_files, filling
from tools.process import run_logged

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.environment import Uv
    from tools.paths import Paths

TIMEOUT_SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class TargetPackages:
    """The dependency group of one target, exactly as `uv.lock` says."""

    paths: Paths
    uv: Uv
    target: str
    say: Callable[[str], None]

    @property
    def name(self) -> str:
        """The step's name."""
        return f"packages of target {self.target}"

    def check(self) -> str | None:
        """Return the folder when it was made from the present lock."""
        try:
            made_from = (self._folder / "dairflow-lock").read_text()
        except OSError:
            return None
        return str(self._folder) if made_from == self._digest() else None

    def install(self) -> None:
        """Install the group, without what the environment has of itself (Pulumi's SDK)."""
        program = self.uv.program()
        assert program is not None, "uv is a step before this one"  # noqa: S101
        self.say(f"• {self.name}: uv installs them into {self._folder}")
        log = self.paths.logs / f"target-{self.target}.log"
        with tempfile.TemporaryDirectory() as temporary, filling(self._folder) as folder:
            requirements = Path(temporary) / "requirements.txt"
            for command in (
                [
                    *(program, "export", "--frozen", "--only-group", self.target),
                    *("--no-emit-project", "--prune", "pulumi", "--quiet"),
                    *("--output-file", requirements),
                ],
                [
                    *(program, "pip", "install", "--no-deps", "--require-hashes"),
                    *("--python", self.paths.python, "--target", folder),
                    *("--requirement", requirements),
                ],
            ):
                run_logged(
                    [str(word) for word in command],
                    log=log,
                    timeout=TIMEOUT_SECONDS,
                    say=self.say,
                    cwd=self.paths.repository,
                )
            (folder / "dairflow-lock").write_text(self._digest())

    @property
    def _folder(self) -> Path:
        return self.paths.environment / "targets" / self.target

    def _digest(self) -> str:
        root = self.paths.repository
        return digest_of_files(root / "uv.lock", root / "pyproject.toml")
