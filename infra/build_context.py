"""Computes a tag of a Docker build: equal files and arguments give an equal tag."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from infra import lean_import
from infra.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TAG_LENGTH = 16
"""Hexadecimal digits: 64 bits, far more than a repository needs for different tags."""


BASE_ARGUMENT = "BASE_IMAGE"
ARGUMENTS = ("CONDA_CHANNELS", "PIP_INDEX_URL")
"""Build arguments that the environment may set: the sources of the Airflow image's packages."""

_DECLARED = re.compile(r"^ARG\s+(\w+)", re.MULTILINE)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TOKEN_LENGTH = 20
"""Minimum length of a random token: names of repositories with digits are shorter."""


class BuildArgumentError(UserError):
    """An argument of a build cannot be kept in a stack's state."""


def arguments(
    dockerfile: Path, environment: Mapping[str, str], base: str | None = None
) -> dict[str, str]:
    """Return those of `ARGUMENTS` that are set and declared in the Dockerfile, and the base image.

    The base's name changes with each renewal, and so does the image's content.
    """
    declared = set(_DECLARED.findall(dockerfile.read_text()))
    known = {name: environment.get(name) for name in ARGUMENTS} | {BASE_ARGUMENT: base}
    return {name: value for name, value in known.items() if name in declared and value}


def refuse_credentials(environment: Mapping[str, str]) -> None:
    """Reject build arguments that would be readable in a stack's state and an image's history.

    Raises:
        BuildArgumentError: names each, and the part of the address, without the value.

    """
    found = {name: _credential(environment.get(name, "")) for name in ARGUMENTS}
    unsafe = [f"{name}: the address contains {what}" for name, what in found.items() if what]
    if unsafe:
        msg = (
            f"{'; '.join(unsafe)}. It would be readable in the stack's state. Use an address that"
            " does not need credentials from this network, such as your package proxy's."
        )
        raise BuildArgumentError(msg)


def _credential(addresses: str) -> str | None:
    """Return which part of an address looks like a credential, or None."""
    for address in addresses.replace(",", " ").split():
        parts = urlsplit(address)
        if "@" in parts.netloc:
            return "a user name or password"
        if parts.query or parts.fragment:
            return "a query, the usual place of a token"
        segments = parts.path.split("/")
        # Conda's own form is https://HOST/t/TOKEN/CHANNEL.
        if "t" in segments[:-1] or any(_looks_random(segment) for segment in segments):
            return "a possible token in its path"
    return None


def _looks_random(segment: str) -> bool:
    """Whether a part of a path is long and mixes letters with digits; UUIDs identify projects."""
    text = unquote(segment)
    return (
        len(text) >= _TOKEN_LENGTH
        and not _UUID.fullmatch(text)
        and any(character.isdigit() for character in text)
        and any(character.isalpha() for character in text)
    )


def tag(context: Path, dockerfile: Path, args: Mapping[str, str]) -> str:
    """Return a tag that changes only with the files that the build can read.

    ``dockerfile`` is in or below ``context``; the context's ``.dockerignore`` applies.

    Raises:
        OSError: if a file cannot be read.

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
