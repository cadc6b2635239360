"""PyPI's part of ``airflow_env``: resolved, locked and installed by uv."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_env import locks
from airflow_env.errors import BuildError, announce
from airflow_env.pypi_names import from_pypi
from airflow_env.requirements import CONDA_FILE, PIP_FILE, Requirement, digest, normal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.metadata import Distribution

    from airflow_env.prefix import Prefix

_NO_SOLUTION = "No solution found"
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What both files ask for."""

    conda: Sequence[Requirement]
    pip: Sequence[Requirement]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What uv is given: the same for a lock and for a build without one."""

    lock: str
    """The name of the lock file that keeps the result."""
    facts: dict[str, str]
    lines: Sequence[tuple[Requirement, str]]
    """What is asked of PyPI, and the line that asks for it."""
    installed: Sequence[Distribution] = ()
    """Conda's Python packages: neither changed nor installed again."""


def plan(asked: Asked, prefix: Prefix) -> Plan:
    """Return what PyPI adds to an environment that has conda's part already.

    Raises:
        BuildError: when no conda channel is used, and PyPI cannot serve all of conda's file.

    """
    pip = [(each, each.text) for each in asked.pip]
    if prefix.by_conda:
        return Plan(
            lock=locks.PIP_LOCK,
            facts={
                "requirements": digest(asked.pip),
                "conda": digest([], *prefix.conda_packages()),
            },
            lines=pip,
            installed=prefix.from_conda(),
        )
    return Plan(
        lock=locks.PYPI_ONLY_LOCK,
        facts={"requirements": digest([*asked.conda, *asked.pip])},
        lines=[*from_pypi(asked.conda), *pip],
    )


def choose(plan: Plan, asked: Asked, prefix: Prefix, folder: Path) -> str:
    """Return the text of the lock in ``folder`` if it is the plan's, else resolve again.

    Raises:
        BuildError: when the requirements contradict each other or what conda installed.

    """
    lock = folder / plan.lock
    said = locks.facts(lock)
    if said == plan.facts:
        text = lock.read_text(encoding="utf-8")
        announce(f"{count(text)} packages from PyPI by {lock.name}")
        return text
    why = f"{lock.name} is for other requirements" if said else f"no {lock.name}"
    text = resolve(plan, asked, prefix, folder)
    announce(f"{count(text)} packages from PyPI resolved now ({why}; `make lock` keeps the result)")
    return text


def resolve(
    plan: Plan, asked: Asked, prefix: Prefix, folder: Path, *, upgrade: bool = False
) -> str:
    """Resolve a plan, with the locked versions where they still fit, unless ``upgrade``.

    Raises:
        BuildError: when the requirements contradict each other or what conda installed.

    """
    # Where this way was never locked, the other way's versions are what to begin with.
    olds = (folder / plan.lock, folder / locks.PYPI_ONLY_LOCK)
    old = next((file for file in olds if file.exists() and not upgrade), None)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        output = work / "lock"
        if old is not None:
            output.write_bytes(old.read_bytes())
        done = _compile(plan, prefix, work, plan.lines)
        if done.returncode == 0:
            return output.read_text(encoding="utf-8")
        if _NO_SOLUTION not in done.stderr:
            message = f"uv could not resolve the requirements:\n{_indent(done.stderr)}"
            raise BuildError(message)
        raise BuildError(_explain(plan, asked, prefix, work, done.stderr))


def install(text: str, prefix: Prefix) -> None:
    """Install the packages of a lock, by its digests.

    Raises:
        BuildError: when a package cannot be fetched or built, or would replace conda's files.

    """
    if count(text) == 0:
        return
    with tempfile.TemporaryDirectory() as name:
        lock = Path(name) / "lock"
        lock.write_text(text, encoding="utf-8")
        done = _uv(
            *("install", "--no-deps", "--require-hashes", "--link-mode", "copy"),
            *("--python", str(prefix.python), "--requirement", str(lock)),
        )
    if done.returncode != 0:
        message = f"the packages from PyPI could not be installed:\n{_indent(done.stderr)}"
        raise BuildError(message)
    overwritten = prefix.overwritten()
    if overwritten:
        lines = [
            f"    {path}: of {theirs} from PyPI, and of {ours} from conda"
            for path, theirs, ours in overwritten
        ]
        message = "\n".join(
            (
                "packages from PyPI replaced files of conda's:",
                *lines,
                f"Take both from the same file: {CONDA_FILE} or {PIP_FILE}.",
            )
        )
        raise BuildError(message)


def count(text: str) -> int:
    """Return the number of packages in a lock."""
    return len(_LOCKED.findall(text))


def _compile(
    plan: Plan, prefix: Prefix, work: Path, lines: Sequence[tuple[Requirement, str]]
) -> subprocess.CompletedProcess[str]:
    """Write ``work/lock`` for some lines of a plan."""
    files: dict[str, list[str]] = {PIP_FILE: []}
    for requirement, text in lines:
        files.setdefault(requirement.file, []).append(text)
    for file, texts in files.items():
        (work / file).write_text("\n".join([*texts, ""]), encoding="utf-8")
    return _uv(
        *("compile", "--generate-hashes", "--no-header", "--quiet"),
        *("--python", str(prefix.python), "--output-file", "lock", *files),
        *(_as_installed(plan.installed, work) if plan.installed else ()),
        folder=work,
    )


def _as_installed(installed: Sequence[Distribution], folder: Path) -> list[str]:
    """Return options that make uv take conda's packages for given, and leave them out.

    Each becomes a wheel of its metadata alone: PyPI may not have it, or say other things of it.
    """
    wheels = folder / "installed"
    wheels.mkdir(exist_ok=True)
    options = ["--constraint", "installed.txt", "--find-links", wheels.name]
    pins: list[str] = []
    for each in installed:
        name = normal(each.name)
        pins.append(f"{name}=={each.version}")
        options += ["--no-emit-package", name]
        stem = f"{name.replace('-', '_')}-{each.version}"
        metadata = each.read_text("METADATA") or each.read_text("PKG-INFO") or ""
        with zipfile.ZipFile(wheels / f"{stem}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{stem}.dist-info/METADATA", metadata)
            wheel.writestr(
                f"{stem}.dist-info/WHEEL",
                "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
            wheel.writestr(f"{stem}.dist-info/RECORD", "")
    (folder / "installed.txt").write_text("\n".join([*pins, ""]), encoding="utf-8")
    return options


def _explain(plan: Plan, asked: Asked, prefix: Prefix, work: Path, said: str) -> str:
    """Return the message for requirements that uv could not resolve.

    Leaves out one line after the other: what must stay for the conflict to stay is the conflict.
    """
    culprits = list(plan.lines)
    for line in plan.lines:
        if line[1].startswith("-"):
            continue  # an option, such as another index
        rest = [other for other in culprits if other is not line]
        done = _compile(plan, prefix, work, rest)
        if done.returncode != 0 and _NO_SOLUTION in done.stderr:
            culprits, said = rest, done.stderr
    lines = [
        f"{requirement}" + ("" if text == requirement.text else f" → {text}")
        for requirement, text in culprits
        if not text.startswith("-")
    ]
    words = {normal(word) for word in re.findall(r"[A-Za-z0-9][A-Za-z0-9._-]*", said)}
    for each in plan.installed:
        name = normal(each.name)
        if name not in words:
            continue
        chosen = f"conda chose {name} {each.version}"
        lines += [
            f"{requirement}" + ("" if requirement.name == name else " (needs it)") + f" → {chosen}"
            for requirement in prefix.brought_by(each, asked.conda)
        ]
    return "\n".join(
        (
            "these requirements exclude each other:",
            *(f"    {line}" for line in lines),
            "uv says:",
            _indent(said),
            "Loosen or remove one of these lines.",
        )
    )


def _uv(
    command: str,
    *arguments: str,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    index = os.environ.get("PIP_INDEX_URL", "").strip()
    return subprocess.run(
        [
            *("uv", "pip", command, *arguments),
            *(("--cache-dir", str(folder / "cache")) if folder else ("--no-cache",)),
            *(("--default-index", index) if index else ()),
        ],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def _indent(text: str) -> str:
    return "\n".join(f"        {line}" for line in text.strip().splitlines())
