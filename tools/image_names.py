"""The names of the images that this clone uses, in `.dairflow/image-names.json`.

The program reads them there (`infra/images/project_images.py`); Compose reads those of its services
in `.env`, its own file of defaults.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tools.paths import Paths
from tools.process import probe

PREFIX = "dairflow/"
BASE = "base"
CONTENT_DIGITS = 16
DOCKER_TIMEOUT_SECONDS = 60

COMPOSE_SETTINGS = {
    "airflow": "DAIRFLOW_AIRFLOW_IMAGE",
    "postgres": "DAIRFLOW_POSTGRES_IMAGE",
    "redis": "DAIRFLOW_REDIS_IMAGE",
    "web": "DAIRFLOW_WEB_IMAGE",
}
"""The settings of docker-compose.yaml that name an image."""


def recorded(paths: Paths) -> dict[str, str]:
    """Return the name of each image that set-up has made for this clone."""
    return _read(_record(paths.repository))


def record(paths: Paths, image: str, reference: str) -> None:
    """Remember an image's name, for the program and for Compose."""
    known = {**recorded(paths), image: reference}
    paths.state.mkdir(parents=True, exist_ok=True)
    _replace(_record(paths.repository), json.dumps(known, indent=1))
    _replace(
        paths.repository / ".env",
        with_settings(
            _text(paths.repository / ".env"),
            {name: known[kind] for kind, name in COMPOSE_SETTINGS.items() if kind in known},
        ),
    )


def with_settings(text: str, settings: dict[str, str]) -> str:
    """Return the lines of an `.env` with these settings; every other line stays as it is."""
    kept = [line for line in text.splitlines() if line.partition("=")[0].strip() not in settings]
    return "\n".join([*kept, *(f"{name}={value}" for name, value in settings.items()), ""])


def remove_unused(paths: Paths) -> list[str]:
    """Remove the names that no clone uses any more; return them.

    Clones are known by the machine's cache; one that was deleted uses nothing. An image that a
    container was made from keeps its name.
    """
    listed = paths.cache / "clones.json"
    clones = {*_read_list(listed), str(paths.repository)}
    there = sorted(clone for clone in clones if _record(Path(clone)).exists())
    _replace(listed, json.dumps(there, indent=1))
    used = {name for clone in there for name in _read(_record(Path(clone))).values()}
    answer = probe(
        ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"],
        timeout=DOCKER_TIMEOUT_SECONDS,
    )
    mine = [name for name in answer.stdout.split() if is_set_ups(name)]
    removed = [name for name in mine if name not in used and _remove(name)]
    return sorted(removed)


def is_set_ups(name: str) -> bool:
    """Tell whether a name is of the form that set-up gives: `dairflow/IMAGE:DIGEST…`."""
    repository, _, tag = name.rpartition(":")
    digest = tag.partition("-")[0]
    return (
        repository.startswith(PREFIX)
        and len(digest) == CONTENT_DIGITS
        and set(digest) <= set("0123456789abcdef")
    )


def build_command(paths: Paths) -> list[str]:
    """Return the beginning of a build's command line: the builder that Pulumi's plugin uses."""
    return [str(paths.python), "-m", "tools.build_image"]


def is_present(reference: str) -> bool:
    """Tell whether the engine has an image of this name."""
    command = ["docker", "image", "inspect", reference]
    return probe(command, timeout=DOCKER_TIMEOUT_SECONDS).returncode == 0


def _remove(name: str) -> bool:
    return probe(["docker", "image", "rm", name], timeout=DOCKER_TIMEOUT_SECONDS).returncode == 0


def _record(repository: Path) -> Path:
    return repository / ".dairflow" / "image-names.json"


def _read(file: Path) -> dict[str, str]:
    try:
        return json.loads(_text(file))
    except ValueError:
        return {}


def _read_list(file: Path) -> list[str]:
    try:
        return json.loads(_text(file))
    except ValueError:
        return []


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _replace(file: Path, text: str) -> None:
    """Write a file at once; leave one alone that says the same."""
    if file.exists() and file.read_text() == text:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    unfinished.write_text(text)
    unfinished.replace(file)


def main(arguments: list[str] | None = None) -> int:
    """Print the name of an image; fail if set-up has not made it."""
    (image,) = arguments or sys.argv[1:]
    name = recorded(Paths.find()).get(image, "")
    print(name)
    return 0 if name else 1


if __name__ == "__main__":
    sys.exit(main())
