"""The build context: which files belong to it, their digest, and the archive that is sent.

The digest and the archive are made from one list, so what is compared is what is built from.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from . import lean_import

_docker_build = lean_import.module("docker.utils.build", forget=True)
_exclude_paths = _docker_build.exclude_paths

DOCKERFILE = "Dockerfile"
IGNORE_FILE = ".dockerignore"

_OUTSIDE_NAME = ".dockerfile.outside-of-the-context"


@dataclass(frozen=True, kw_only=True)
class BuildContext:
    """A directory and the Dockerfile that builds from it, which may lie outside of it."""

    root: Path
    dockerfile: Path

    @property
    def relative_dockerfile(self) -> str:
        """The Dockerfile's place relative to the context, with ``..`` when it lies outside."""
        return Path(os.path.relpath(self.dockerfile, self.root)).as_posix()

    @property
    def archived_dockerfile(self) -> str:
        """The Dockerfile's name in the archive."""
        return self.relative_dockerfile if self._dockerfile_is_inside else _OUTSIDE_NAME

    @property
    def _dockerfile_is_inside(self) -> bool:
        return not self.relative_dockerfile.startswith("../")

    def paths(self) -> list[str]:
        """List every path of the context that is not ignored, in a stable order.

        The Dockerfile and ``.dockerignore`` are never ignored: the engine needs them.
        """
        kept = self.relative_dockerfile if self._dockerfile_is_inside else IGNORE_FILE
        found = _exclude_paths(str(self.root), self._ignore_patterns(), dockerfile=kept)
        return sorted((Path(path).as_posix() for path in found), key=lambda path: path.split("/"))

    def _ignore_patterns(self) -> list[str]:
        """Read the patterns of ``<Dockerfile>.dockerignore``, or else of the context's own file."""
        own = self.dockerfile.with_name(self.dockerfile.name + IGNORE_FILE)
        for path in (own, self.root / IGNORE_FILE):
            if path.is_file():
                lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
                return [line for line in lines if line and not line.startswith("#")]
        return []

    def digest(self) -> str:
        """Compute a SHA-256 over the Dockerfile and each file's name, mode and content.

        The recipe is that of pulumi-docker's ``hashContext``, so that a state written by one of
        the two plugins shows no difference to the other: directories, owners and times are left
        out; a symbolic link counts by the path that it names.

        Raises:
            OSError: a file of the context cannot be read; its name is in the exception.

        """
        total = hashlib.sha256()
        total.update(_record(DOCKERFILE, "-" * 10, _content_digest(self.dockerfile)))
        for name in self._digested_paths():
            path = self.root / name
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                total.update(_record(name, _go_mode(mode), _content_digest(path)))
            elif stat.S_ISLNK(mode):
                named = hashlib.sha256(os.fsencode(path.readlink())).digest()
                total.update(_record(name, _go_mode(mode), named))
        return total.hexdigest()

    def _digested_paths(self) -> list[str]:
        """List the paths without those that are sent although a pattern ignores them."""
        matcher = _docker_build.PatternMatcher(self._ignore_patterns())
        matcher.patterns.pop()  # docker-py's own exception for the ignore file
        sent_anyway = {self.relative_dockerfile, IGNORE_FILE}
        return [
            name for name in self.paths() if name not in sent_anyway or not matcher.matches(name)
        ]

    def archive(self, target: IO[bytes]) -> None:
        """Write the context as a tar archive, everything owned by root.

        The builder's cache compares owners too: without this, two users of one engine would rebuild
        each other's layers. BuildKit recognizes an archive by its first two blocks, so the first
        member has a short name, and no block of the PAX format comes before it.
        """
        sources = {name: self.root / name for name in self.paths()}
        first = self.archived_dockerfile
        with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name, path in {first: self.dockerfile, **sources}.items():
                _add(tar, tar.gettarinfo(str(path), arcname=name), path)


def _add(tar: tarfile.TarFile, member: tarfile.TarInfo | None, path: Path) -> None:
    if member is None:  # a socket
        return
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = int(member.mtime)
    if member.islnk():
        # tarfile writes a second name of one inode as a hard link; Docker's own clients send
        # the content again, and a link whose target is ignored could not be unpacked.
        member.type, member.linkname = tarfile.REGTYPE, ""
        member.size = path.stat().st_size
    if member.isreg():
        with path.open("rb") as content:
            tar.addfile(member, content)
    else:
        tar.addfile(member)


def _content_digest(path: Path) -> bytes:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def _record(name: str, mode: str, content: bytes) -> bytes:
    return name.encode("utf-8", "surrogateescape") + mode.encode() + content + b"\0"


def _go_mode(mode: int) -> str:
    """Write a file's mode as Go's ``fs.FileMode.String`` does, e.g. ``-rw-r--r--``."""
    kinds = (
        ("L", stat.S_ISLNK(mode)),
        ("u", bool(mode & stat.S_ISUID)),
        ("g", bool(mode & stat.S_ISGID)),
        ("t", bool(mode & stat.S_ISVTX)),
    )
    prefix = "".join(letter for letter, applies in kinds if applies) or "-"
    bits = "".join(
        letter if mode & (1 << shift) else "-"
        for shift, letter in zip(range(8, -1, -1), "rwxrwxrwx", strict=True)
    )
    return prefix + bits
