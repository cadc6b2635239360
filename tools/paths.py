"""Where set-up keeps what it makes: inside the repository, and one cache for all clones."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

DIGEST_LENGTH = 12


@dataclass(frozen=True, kw_only=True)
class Paths:
    """The folders that set-up writes to."""

    repository: Path
    cache: Path

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ) -> Paths:
        """Return the folders of the clone that this file is in."""
        home = Path(environment.get("HOME") or Path.home())
        cache = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
        return cls(repository=Path(__file__).resolve().parent.parent, cache=cache / "dairflow")

    @property
    def state(self) -> Path:
        """The project's own state folder."""
        return self.repository / ".dairflow"

    @property
    def programs(self) -> Path:
        """The folder of programs that `env.sh` puts first on PATH."""
        return self.state / "bin"

    @property
    def logs(self) -> Path:
        """Where the output of long commands goes."""
        return self.state / "logs"

    @property
    def pulumi_home(self) -> Path:
        """Pulumi's folder: plugins, the selected stack, who is logged in."""
        return self.state / "pulumi"

    @property
    def environment(self) -> Path:
        """The locked Python environment."""
        return self.repository / ".venv"

    @property
    def python(self) -> Path:
        """The locked environment's interpreter."""
        return self.environment / "bin" / "python"

    def cached(self, name: str, version: str, inputs: str) -> Path:
        """Return the cache's folder for one program, keyed by a digest of what it is made from."""
        return self.cache / f"{name}-{version}-{inputs}"


def digest_of_files(*files: Path) -> str:
    """Return a short digest of the files' names and contents, in the given order."""
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:DIGEST_LENGTH]


def digest_of_folder(folder: Path) -> str:
    """Return a short digest of a folder's files: path, executable bit and content."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or "__pycache__" in file.parts:
            continue
        content = file.read_bytes()
        executable = os.access(file, os.X_OK)
        digest.update(f"{file.relative_to(folder)} {executable} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:DIGEST_LENGTH]


@contextmanager
def filling(folder: Path) -> Generator[Path, None, None]:
    """Give a fresh folder to fill, which becomes `folder` only when all went well."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
