"""Reads the compose file on the operator's machine, and checks it before any change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from infra.stack.errors import StackError
from infra.stack.own_files import read_own_files
from infra.stack.problems import FILE, refuse
from infra.stack.render import prepared
from infra.stack.yaml_values import as_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from infra.stack.options import StackOptions
    from infra.stack.own_files import OwnFiles


ENV_FILE = ".env"
_VARIABLE = re.compile(r"\s*(export\s+)?\w+\s*=")
_WITHOUT_EFFECT = re.compile(r"COMPOSE_|DAIRFLOW_[A-Z]+_IMAGE=dairflow/[a-z]+:[0-9a-f]{16}\s*$")
"""Compose's own options, and set-up's names of the images: they do not change a service."""

LAPTOP_FILES = (
    ENV_FILE,
    "compose.override.yaml",
    "compose.override.yml",
    "compose.yaml",
    "compose.yml",
    "docker-compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.yml",
)


@dataclass(frozen=True, kw_only=True)
class ComposeFile:
    """The compose file as written, and the values of the files that the user adds to it."""

    content: Mapping[str, Any]
    own: OwnFiles
    laptop_only: tuple[str, ...]
    """Files beside it that Docker Compose reads on a laptop; the swarm does not use them."""


def read_compose_file(
    folder: Path, options: StackOptions, environment: Mapping[str, str]
) -> ComposeFile:
    """Read and check ``docker-compose.yaml`` in ``folder`` for the cluster of ``options``.

    The names of images and the secrets' values in ``options`` are not used here. ``environment`` is
    the operator's.

    Raises:
        StackError: lists every problem.

    """
    content = _load(folder / FILE)
    source, found = prepared(content, options)
    own = read_own_files(source, folder, environment)
    refuse([*found, *own.problems])
    laptop_only = tuple(name for name in LAPTOP_FILES if _counts(folder / name))
    return ComposeFile(content=content, own=own, laptop_only=laptop_only)


def _counts(path: Path) -> bool:
    """Whether a file changes the laptop's services; set-up's own `.env` does not."""
    if path.name != ENV_FILE:
        return path.exists()
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    return any(_VARIABLE.match(line) and not _WITHOUT_EFFECT.match(line) for line in lines)


def _load(path: Path) -> dict[str, Any]:
    try:
        content: Any = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}. Next: git checkout {FILE}"
        raise StackError(msg) from None
    except yaml.YAMLError as error:
        msg = f"{path} is not valid YAML: {error}. Next: fix that line."
        raise StackError(msg) from None
    if not as_object(content):
        msg = f"{path} has no services. Next: git checkout {FILE}"
        raise StackError(msg)
    return as_object(content)
