"""The image's two steps, conda's and pip's, and the writing of the lock files."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_env import channels, conda, layers, locks, pypi, pypi_names
from airflow_env.errors import BuildError, announce
from airflow_env.prefix import Prefix
from airflow_env.requirements import Requirement, read_conda, read_pip
from airflow_env.trim import trim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rattler import RepoDataRecord


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The folder of the requirement files and their locks, and further options."""

    folder: Path
    channels: str = ""
    """CONDA_CHANNELS; empty for those of conda's lock, or else the default."""

    def asked(self) -> pypi.Asked:
        """Read both requirement files, and report the mistakes of both."""
        mistakes: list[str] = []
        found: list[list[Requirement]] = []
        for read in (read_conda, read_pip):
            try:
                found.append(read(self.folder))
            except BuildError as error:
                mistakes.append(str(error))
        if mistakes:
            raise BuildError("\n".join(mistakes))
        return pypi.Asked(conda=found[0], pip=found[1])

    def reachable(self) -> list[channels.Channel]:
        """Return the channels; empty, with a message, if none is used or reached."""
        text = self.channels.strip()
        if text == channels.NONE:
            reason = f"CONDA_CHANNELS={channels.NONE}"
        else:
            text = text or locks.facts(self.folder / locks.CONDA_LOCK).get("channels", "")
            named = channels.parse(text or channels.DEFAULT)
            silence = channels.unreachable(named, chosen=bool(text))
            if silence is None:
                return named
            reason = f"cannot be reached: {silence}"
        announce(f"no conda channel ({reason}): Python from Debian, every package from PyPI")
        return []


def make_conda_part(sources: Sources, prefix: Prefix) -> None:
    """Make the environment with conda's packages; or with Debian's Python and none.

    Raises:
        BuildError: when conda's requirements cannot be satisfied either way.

    """
    requirements = read_conda(sources.folder)
    reachable = sources.reachable()
    if reachable:
        _install_conda(sources, prefix, requirements, reachable)
        return
    # What PyPI cannot serve is refused here already, before anything is fetched.
    pypi_names.from_pypi(requirements)
    _make_venv(prefix, requirements)


def make_pip_part(sources: Sources, prefix: Prefix, target: Path) -> None:
    """Install PyPI's packages, trim, and lay the layers out in ``target``.

    Raises:
        BuildError: when the requirements exclude each other or what conda installed.

    """
    asked = sources.asked()
    text = pypi.choose(pypi.plan(asked, prefix), asked, prefix, sources.folder)
    pypi.install(text, prefix)
    trim(prefix)
    _compile(prefix)
    kept = prefix.path / layers.LOCKS
    kept.mkdir(parents=True, exist_ok=True)
    (kept / locks.PIP_LOCK).write_text(text, encoding="utf-8")
    layers.split(prefix, text, asked.pip, target)


def lock(sources: Sources, *, upgrade: bool = False) -> None:
    """Write the lock files again: those of conda's way if it is open, and the one without.

    Keeps the locked versions that still fit, unless ``upgrade``.

    Raises:
        BuildError: when the requirements cannot be satisfied; no file is written then.

    """
    asked = sources.asked()
    reachable = sources.reachable()
    with tempfile.TemporaryDirectory() as name:
        by_conda = Prefix(path=Path(name) / "conda")
        by_pypi = Prefix(path=Path(name) / "pypi")
        pip: tuple[pypi.Plan, str] | None = None
        records: Sequence[RepoDataRecord] = ()
        if reachable:
            records = _install_conda(sources, by_conda, asked.conda, reachable, upgrade=upgrade)
            pip = _resolve(asked, by_conda, sources.folder, upgrade=upgrade)
        try:
            pypi_names.from_pypi(asked.conda)
            _make_venv(by_pypi, asked.conda)
        except BuildError as error:
            if not reachable:
                raise
            only = None
            announce(f"no {locks.PYPI_ONLY_LOCK}, so no build without a channel: {error}")
        else:
            only = _resolve(asked, by_pypi, sources.folder, upgrade=upgrade)
    if pip is not None:
        conda.write_lock(sources.folder / locks.CONDA_LOCK, records, asked.conda, reachable)
        locks.write(sources.folder / pip[0].lock, pip[0].facts, pip[1])
    elif (sources.folder / locks.CONDA_LOCK).exists():
        announce(f"{locks.CONDA_LOCK} and {locks.PIP_LOCK} stay as they are")
    if only is not None:
        locks.write(sources.folder / only[0].lock, only[0].facts, only[1])
    else:
        (sources.folder / locks.PYPI_ONLY_LOCK).unlink(missing_ok=True)


def _compile(prefix: Prefix) -> None:
    files = [str(file) for site in prefix.site_packages() for file in sorted(site.rglob("*.py"))]
    subprocess.run(
        [str(prefix.python), "-P", "-S", str(Path(__file__).with_name("bytecode.py"))],
        input="\n".join(files),
        env={**os.environ, "PYTHONHASHSEED": "0"},
        text=True,
        check=True,
    )


def _resolve(
    asked: pypi.Asked, prefix: Prefix, folder: Path, *, upgrade: bool
) -> tuple[pypi.Plan, str]:
    plan = pypi.plan(asked, prefix)
    return plan, pypi.resolve(plan, asked, prefix, folder, upgrade=upgrade)


def _install_conda(
    sources: Sources,
    prefix: Prefix,
    requirements: Sequence[Requirement],
    reachable: Sequence[channels.Channel],
    *,
    upgrade: bool = False,
) -> Sequence[RepoDataRecord]:
    async def run() -> Sequence[RepoDataRecord]:
        # Beside the environment: packages are linked into it, not copied.
        prefix.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=prefix.path.parent, prefix=".conda-") as cache:
            solver = conda.Solver(channels=reachable, cache=Path(cache))
            records = await conda.choose(
                solver, requirements, sources.folder / locks.CONDA_LOCK, upgrade=upgrade
            )
            await solver.install(records, prefix.path)
        return records

    return asyncio.run(run())


def _make_venv(prefix: Prefix, requirements: Sequence[Requirement]) -> None:
    version = pypi_names.python_version(requirements)
    interpreter = f"python{'.'.join(version.split('.')[:2])}"
    done = subprocess.run(
        [
            *("uv", "venv", "--no-cache", "--quiet", "--clear", "--no-project"),
            *("--python", interpreter, "--prompt", "airflow_env", str(prefix.path)),
        ],
        env={key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        message = f"{interpreter} cannot make an environment: {done.stderr.strip()}"
        raise BuildError(message)
