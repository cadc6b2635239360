"""The content of a Docker build, as a tag: the same files and arguments give the same tag."""

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
"""Hexadecimal digits: 64 bits, far more than a repository's images need to differ."""


BASE_ARGUMENT = "BASE_IMAGE"
ARGUMENTS = ("CONDA_CHANNELS", "PIP_INDEX_URL")
"""Where the Airflow image's packages come from: build arguments that the environment may set."""

_DECLARED = re.compile(r"^ARG\s+(\w+)", re.MULTILINE)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TOKEN_LENGTH = 20
"""Of a random token: shorter ones are rare, and names of repositories with digits are shorter."""


class BuildArgumentError(UserError):
    """An argument of a build cannot be kept in a stack's state."""


def arguments(
    dockerfile: Path, environment: Mapping[str, str], base: str | None = None
) -> dict[str, str]:
    """Return those of `ARGUMENTS` that are set and that the Dockerfile takes, and the base image.

    The base's name is another one after each renewal, so the image's content is as well.
    """
    declared = set(_DECLARED.findall(dockerfile.read_text()))
    known = {name: environment.get(name) for name in ARGUMENTS} | {BASE_ARGUMENT: base}
    return {name: value for name, value in known.items() if name in declared and value}


def refuse_credentials(environment: Mapping[str, str]) -> None:
    """Refuse build arguments that a stack's state and an image's history would keep readable.

    Raises:
        BuildArgumentError: naming each, and the part of the address that is one, without the value.

    """
    found = {name: _credential(environment.get(name, "")) for name in ARGUMENTS}
    unsafe = [f"{name}: the address holds {what}" for name, what in found.items() if what]
    if unsafe:
        msg = (
            f"{'; '.join(unsafe)}. Pulumi would keep it readable in the stack's state. Use an "
            "address that needs no credentials from this network, such as your package proxy's."
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
            return "what looks like a token in its path"
    return None


def _looks_random(segment: str) -> bool:
    """Whether a part of a path is long and mixes letters with digits; a UUID names a project."""
    text = unquote(segment)
    return (
        len(text) >= _TOKEN_LENGTH
        and not _UUID.fullmatch(text)
        and any(character.isdigit() for character in text)
        and any(character.isalpha() for character in text)
    )


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
