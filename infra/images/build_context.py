"""Computes a tag of a Docker build: equal files and arguments give an equal tag."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from infra import lean_import
from infra.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

TAG_LENGTH = 16
"""Hexadecimal digits: 64 bits, far more than a repository needs for different tags."""


BASE_ARGUMENT = "BASE_IMAGE"
ARGUMENTS = ("CONDA_CHANNELS", "PIP_INDEX_URL")
"""Build arguments that the environment may set: the sources of the Airflow image's packages."""

_DECLARED = re.compile(r"^ARG\s+(\w+)", re.MULTILINE)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_WORD = re.compile(r"([a-z]{1,15}|[A-Z]{1,8}|([A-Z][a-z]{1,14}){1,3})?[0-9]{0,10}")
_BETWEEN_WORDS = re.compile(r"[-._+~]+")
"""What a path's segment consists of that is not a token: short words and numbers."""
_DIGEST = re.compile(r"[0-9a-f]{2}|[0-9a-f]{60}|[0-9a-f]{64}")
"""A segment of the address of a file on PyPI."""
_FILE_FRAGMENT = re.compile(r"(sha256|egg|subdirectory)=[^&]*(&(sha256|egg|subdirectory)=[^&]*)*")
REQUIREMENTS = ("conda_requirements.txt", "pip_requirements.txt")
_INDEX_OPTION = re.compile(r"\s*(-i|-f|--[a-z-]*(index|links)[a-z-]*)\b")
_NEXT = (
    "Use an address that needs no credentials from this network, such as your package proxy's;"
    ' docs/airflow-env.md, "An index that needs a token", has one.'
)


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
        msg = f"{'; '.join(unsafe)}. Pulumi would keep it readable in the stack's state. {_NEXT}"
        raise BuildArgumentError(msg)


def refuse_credentials_in_files(folder: Path) -> None:
    """Refuse lines of the requirement files in ``folder`` that hold credentials.

    Raises:
        BuildArgumentError: naming each line, and the part of its address, without the value.

    """
    unsafe = [
        f"{name}:{number}: the address contains {what}"
        for name in REQUIREMENTS
        if (folder / name).exists()
        for number, line in enumerate((folder / name).read_text().splitlines(), 1)
        for what in _credentials_of_line(line)
    ]
    if unsafe:
        msg = (
            f"{'; '.join(unsafe)}. Anyone who has the repository or the image can read it. {_NEXT}"
        )
        raise BuildArgumentError(msg)


def _credentials_of_line(line: str) -> Iterator[str]:
    """Find which parts of a requirement's addresses look like credentials."""
    requirement = re.sub(r"(^|\s)#.*", "", line)
    is_index = _INDEX_OPTION.match(requirement) is not None
    for address in _URL.findall(requirement):
        channel, is_channel, _ = address.partition("::")
        what = _part_of(channel, is_file=not (is_index or is_channel))
        if what:
            yield what


def _credential(addresses: str) -> str | None:
    """Return which part of an address looks like a credential, or None."""
    parts = (_part_of(each, is_file=False) for each in addresses.replace(",", " ").split())
    return next(filter(None, parts), None)


def _part_of(address: str, *, is_file: bool) -> str | None:
    """Return which part of one address looks like a credential, or None.

    A token has no form of its own. So in the path of an index or a channel only what is plainly
    something else is accepted. The last part of a file's address is the name of the file.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return "brackets that no address has"
    user, at, _ = parts.netloc.rpartition("@")
    if at and (user, is_file) != ("git", True):
        return "a user name or password"
    if parts.query or (
        parts.fragment and not (is_file and _FILE_FRAGMENT.fullmatch(parts.fragment))
    ):
        return "a query, the usual place of a token"
    segments = [unquote(segment) for segment in parts.path.split("/")]
    if is_file:
        segments = segments[:-1]
    followers = [*segments[1:], ""]
    # Conda's own form is https://HOST/t/TOKEN/CHANNEL.
    if any(
        segment.lower() == "t" and follower
        for segment, follower in zip(segments, followers, strict=True)
    ):
        return "a possible token in its path"
    if not all(
        _is_plain(segment)
        or (is_file and _DIGEST.fullmatch(segment))
        or (_UUID.fullmatch(segment) and follower == "_packaging")  # a project of Azure DevOps
        for segment, follower in zip(segments, followers, strict=True)
    ):
        return "a possible token in its path"
    return None


def _is_plain(segment: str) -> bool:
    """Whether a part of a path consists of words and numbers, as a name does."""
    return all(_WORD.fullmatch(word) for word in _BETWEEN_WORDS.split(segment))


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
