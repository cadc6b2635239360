"""Lays ``airflow_env`` out in folders, each of which becomes a layer of the image.

A package that a user adds is then the only one that is shipped again; and an engine compresses and
fetches layers side by side.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from airflow_env.errors import announce
from airflow_env.prefix import Prefix, from_pip, owned_files
from airflow_env.requirements import CONDA_FILE, Requirement, normal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.metadata import Distribution
    from pathlib import Path

CONDA = "conda"
"""The interpreter, and what conda_requirements.txt brought."""
YOURS = "yours"
"""What only the user's lines of pip_requirements.txt brought, and the lock files of it all."""
PARTS = 3
"""Airflow's own packages, named ``1`` to ``3``: the bulk."""

LOCKS = "share/airflow_env"

_PACKAGE = re.compile(r"([A-Za-z0-9._-]+)==")
_VIA = re.compile(r"\s+#\s+(?:via\s+)?(-r\s+\S+|\S+)")
_MEBIBYTE = 2**20


def parents(lock: str) -> dict[str, set[str]]:
    """Return who asks for each package of a lock: packages, and ``-r FILE``."""
    found: dict[str, set[str]] = {}
    current: set[str] = set()
    for line in lock.splitlines():
        if package := _PACKAGE.match(line):
            current = found.setdefault(normal(package[1]), set())
        elif (via := _VIA.fullmatch(line)) and via[1] != "via":
            current.add(via[1] if via[1].startswith("-r") else normal(via[1]))
    return found


def assign(lock: str, pip: Sequence[Requirement]) -> dict[str, str]:
    """Return the kind of each package of a lock: Airflow's (``""``), `CONDA` or `YOURS`.

    What two kinds need is of the one that changes least.
    """
    graph = parents(lock)
    own = {each.name for each in pip if each.own}
    kinds: dict[str, str] = {}
    roots = {
        "": {name for name in graph if name in own},
        CONDA: {name for name, by in graph.items() if f"-r {CONDA_FILE}" in by},
        YOURS: set(graph),
    }
    for kind, names in roots.items():
        reached = set(names) - set(kinds)
        while reached:
            kinds |= dict.fromkeys(reached, kind)
            reached = {name for name, by in graph.items() if by & reached} - set(kinds)
    return kinds


def split(prefix: Prefix, lock: str, pip: Sequence[Requirement], target: Path) -> None:
    """Move the environment's files to ``target/LAYER``, each laid out from the root."""
    kinds = assign(lock, pip)
    owners: dict[Path, str] = {}
    sizes = [0] * PARTS
    airflow: list[tuple[int, str, list[Path]]] = []
    for each in prefix.distributions():
        if not from_pip(each):
            continue
        name = normal(each.name)
        files = _with_bytecode(each)
        kind = kinds.get(name, YOURS)
        if kind:
            owners |= dict.fromkeys(files, kind)
        else:
            airflow.append((sum(file.stat().st_size for file in files), name, files))
    for size, _, files in sorted(airflow, key=lambda part: (-part[0], part[1])):
        least = sizes.index(min(sizes))
        sizes[least] += size
        owners |= dict.fromkeys(files, str(least + 1))
    _move(prefix.path, target, owners)


def _with_bytecode(distribution: Distribution) -> list[Path]:
    files = [file for file in owned_files(distribution) if file.is_file()]
    bytecode = [
        compiled
        for file in files
        if file.suffix == ".py"
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc")
    ]
    return list(dict.fromkeys([*files, *bytecode]))


def _move(source: Path, target: Path, owners: dict[Path, str]) -> None:
    sizes: dict[str, int] = {}
    for layer in (CONDA, *(str(part + 1) for part in range(PARTS)), YOURS):
        (target / layer / source.relative_to("/")).mkdir(parents=True)
        sizes[layer] = 0
    for path in sorted(source.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                (target / CONDA / path.relative_to("/")).mkdir(parents=True)
            continue
        inside = path.relative_to(source)
        layer = YOURS if inside.as_posix().startswith(LOCKS) else owners.get(path, CONDA)
        moved = target / layer / path.relative_to("/")
        moved.parent.mkdir(parents=True, exist_ok=True)
        sizes[layer] += path.lstat().st_size
        path.rename(moved)
    shutil.rmtree(source)
    listed = ", ".join(f"{layer} {size // _MEBIBYTE}" for layer, size in sizes.items())
    announce(f"layers in MiB: {listed}")
