"""The two requirement files, line by line."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rattler import MatchSpec
from rattler.exceptions import InvalidMatchSpecError, InvalidPackageNameError

from airflow_env.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CONDA_FILE = "conda_requirements.txt"
PIP_FILE = "pip_requirements.txt"

OWN_LINE = "# Your packages go below this line."
"""In pip_requirements.txt: what is above it is Airflow's, what is below it the user's."""

_PYPI_NAME = re.compile(r"#\s*pypi:\s*(\S+)\s*$")
_OTHER_FILE = re.compile(r"^(-r|-c|-e|-f|--requirement|--constraint|--editable|--find-links)\b|^\.")


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """One line of a requirement file."""

    file: str
    line: int
    text: str
    own: bool = False
    """Whether the project itself needs it: above `OWN_LINE`."""
    pypi: str | None = None
    """What PyPI calls it, where a comment says so: ``# pypi: NAME``."""

    @property
    def name(self) -> str:
        """The package's name, in the one form that names are compared in."""
        text = self.text.rsplit("::", 1)[-1]
        return normal(re.split(r"[\s=<>!~;@\[(,]", text, maxsplit=1)[0])

    def __str__(self) -> str:
        """Return the place and the text, as an error shows them."""
        return f"{self.file}:{self.line}: {self.text}"

    @property
    def spec(self) -> MatchSpec:
        """The line as conda reads it."""
        return MatchSpec(self.text)


def normal(name: str) -> str:
    """Return a package's name as PyPI compares names (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_conda(folder: Path) -> list[Requirement]:
    """Read conda_requirements.txt.

    Raises:
        BuildError: with every line that conda cannot read.

    """
    requirements: list[Requirement] = []
    mistakes: list[str] = []
    for number, line in _lines(folder / CONDA_FILE):
        stated = _PYPI_NAME.search(line)
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        requirement = Requirement(
            file=CONDA_FILE, line=number, text=text, pypi=stated.group(1) if stated else None
        )
        try:
            _ = requirement.spec
        except (InvalidMatchSpecError, InvalidPackageNameError) as error:
            mistakes.append(f"{requirement}: {error}")
        else:
            requirements.append(requirement)
    if not mistakes and not any(each.name == "python" for each in requirements):
        mistakes.append(f"{CONDA_FILE} names no Python: add a line such as python=3.13")
    _refuse(mistakes, valid="one package a line, such as numpy, numpy=2.3, numpy>=2,<3")
    return requirements


def read_pip(folder: Path) -> list[Requirement]:
    """Read pip_requirements.txt.

    Raises:
        BuildError: with every line that names a file, which the build does not see.

    """
    lines = list(_lines(folder / PIP_FILE))
    last_own = next((number for number, line in lines if line.startswith(OWN_LINE)), 0)
    requirements = [
        Requirement(file=PIP_FILE, line=number, text=text, own=number < last_own)
        for number, line in lines
        if (text := re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip())
    ]
    mistakes = [
        f"{each}: names a file, and the build sees this one only"
        for each in requirements
        if _OTHER_FILE.match(each.text)
    ]
    _refuse(mistakes, valid="one package a line, such as polars, polars==1.30, polars[all]>=1,<2")
    return requirements


def digest(requirements: Iterable[Requirement], *more: str) -> str:
    """Return a short digest of what is asked for; comments and blank lines do not count."""
    parts = [f"{each.file} {each.text} {each.pypi}" for each in requirements]
    return hashlib.sha256("\n".join([*parts, *more]).encode()).hexdigest()[:16]


def _lines(file: Path) -> Iterable[tuple[int, str]]:
    return enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)


def _refuse(mistakes: list[str], *, valid: str) -> None:
    if mistakes:
        raise BuildError("\n".join([*mistakes, f"Valid: {valid}."]))
