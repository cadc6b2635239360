"""The content of a Docker build, as a tag: the same files and arguments give the same tag."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from infra import lean_import

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TAG_LENGTH = 16
"""Hexadecimal digits: 64 bits, far more than a repository's images need to differ."""


def tag(context: Path, dockerfile: Path, args: Mapping[str, str]) -> str:
    """Return a tag that changes with any file that the build can see, and with nothing else.

    ``dockerfile`` lies in or below ``context``; the context's ``.dockerignore`` counts.

    Raises:
        OSError: when a file cannot be read.

    """
    digest = hashlib.sha256()
    for key, value in sorted(args.items()):
        digest.update(f"arg\0{key}\0{value}\0".encode())
    ignore = context / ".dockerignore"
    patterns = ignore.read_text().splitlines() if ignore.exists() else []
    exclude_paths = lean_import.module("docker.utils.build").exclude_paths
    wanted = [line.strip() for line in patterns if line.strip() and not line.startswith("#")]
    name = str(dockerfile.relative_to(context))
    for relative in sorted(exclude_paths(str(context), wanted, dockerfile=name)):
        path = context / relative
        if path.is_symlink():
            digest.update(f"link\0{relative}\0{path.readlink()}\0".encode())
        elif path.is_file():
            executable = bool(path.stat().st_mode & 0o100)
            digest.update(f"file\0{relative}\0{executable}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:TAG_LENGTH]
