"""The locked Python environment, and uv, which makes it."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools import versions
from tools.paths import digest_of_files, filling
from tools.process import probe, run_logged

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.paths import Paths

INSTALL_TIMEOUT_SECONDS = 600
SYNC_TIMEOUT_SECONDS = 1800
VERSION_TIMEOUT_SECONDS = 20


@dataclass(frozen=True, kw_only=True)
class Uv:
    """The package manager `uv`."""

    paths: Paths
    say: Callable[[str], None]
    name: str = "uv"

    def check(self) -> str | None:
        """Return which uv there is, or None."""
        program = self.program()
        if program == self._cached and not self._link.exists():
            return None
        return str(program) if program else None

    def install(self) -> None:
        """Link the cached uv; or first install the pinned one into the cache, with pip."""
        if not self._cached.exists():
            self._fill_cache()
        self.paths.programs.mkdir(parents=True, exist_ok=True)
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(self._cached)

    def program(self) -> Path | None:
        """Return the uv to use: the user's own when it is new enough, else the cached one."""
        own = shutil.which("uv")
        if own and Path(own) != self._link:
            answer = probe([own, "--version"], timeout=VERSION_TIMEOUT_SECONDS)
            if versions.at_least(answer.stdout, versions.UV_MINIMUM):
                return Path(own)
        return self._cached if self._cached.exists() else None

    def _fill_cache(self) -> None:
        self.say(f"• {self.name}: pip installs uv {versions.UV} to {self._folder}")
        log = self.paths.logs / "uv.log"
        # A virtual environment cannot be moved once it is made, but the program in it can.
        with filling(self._folder) as folder:
            run_logged(
                [sys.executable, "-m", "venv", str(folder / "pip")],
                log=log,
                timeout=INSTALL_TIMEOUT_SECONDS,
                say=self.say,
            )
            run_logged(
                [
                    *(str(folder / "pip" / "bin" / "python"), "-m", "pip", "install"),
                    "--no-cache-dir",  # the folder is the cache
                    *("--require-hashes", "--only-binary=:all:"),
                    *("--requirement", str(self._requirements)),
                ],
                log=log,
                timeout=INSTALL_TIMEOUT_SECONDS,
                say=self.say,
            )
            shutil.move(folder / "pip" / "bin" / "uv", folder / "uv")
            shutil.rmtree(folder / "pip")

    @property
    def _link(self) -> Path:
        return self.paths.programs / "uv"

    @property
    def _cached(self) -> Path:
        return self._folder / "uv"

    @property
    def _requirements(self) -> Path:
        return self.paths.repository / "tools" / "uv-requirements.txt"

    @property
    def _folder(self) -> Path:
        return self.paths.cached("uv", versions.UV, digest_of_files(self._requirements))


@dataclass(frozen=True, kw_only=True)
class LockedEnvironment:
    """`.venv`, exactly as `uv.lock` says."""

    paths: Paths
    uv: Uv
    say: Callable[[str], None]
    name: str = "Python environment"

    def check(self) -> str | None:
        """Return the environment's folder when it was made from the present lock."""
        try:
            made_from = self._stamp.read_text()
        except OSError:
            return None
        same = made_from == self._digest() and os.access(self.paths.python, os.X_OK)
        return ".venv (as in uv.lock)" if same else None

    def install(self) -> None:
        """Bring `.venv` to what the lock says."""
        program = self.uv.program()
        assert program is not None, "uv is the step before this one"  # noqa: S101
        cache = os.environ.get("UV_CACHE_DIR") or self.paths.cache.parent / "uv"
        self.say(
            f"• {self.name}: uv sync --frozen --compile-bytecode to {self.paths.environment} "
            f"(what uv downloads it keeps in its own cache, {cache})"
        )
        environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
        environment.pop("VIRTUAL_ENV", None)
        if not self.paths.python.exists():
            environment["UV_PYTHON"] = str(Path(sys.executable).resolve())
        run_logged(
            # Compiled: Pulumi starts three Python programs in each phase of a run, and where
            # PYTHONDONTWRITEBYTECODE is set each would compile all that it imports again.
            [str(program), "sync", "--frozen", "--compile-bytecode"],
            log=self.paths.logs / "uv-sync.log",
            timeout=SYNC_TIMEOUT_SECONDS,
            say=self.say,
            env=environment,
            cwd=self.paths.repository,
        )
        self._stamp.write_text(self._digest())

    @property
    def _stamp(self) -> Path:
        return self.paths.environment / "dairflow-lock"

    def _digest(self) -> str:
        root = self.paths.repository
        return digest_of_files(
            root / "uv.lock", root / "pyproject.toml", root / "dag_builder" / "pyproject.toml"
        )
