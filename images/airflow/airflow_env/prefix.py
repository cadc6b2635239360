"""What is in an ``airflow_env`` already."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_env.requirements import Requirement, normal

if TYPE_CHECKING:
    from collections.abc import Sequence

PIP_INSTALLER = "uv"


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """The folder of an environment, made by conda or as a virtual environment."""

    path: Path

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.path / "bin" / "python"

    @property
    def by_conda(self) -> bool:
        """Whether conda's packages are in it."""
        return (self.path / "conda-meta").is_dir()

    def distributions(self) -> list[Distribution]:
        """Return the Python packages from both package managers, by name."""
        found = distributions(path=[str(folder) for folder in self.site_packages()])
        return sorted(found, key=lambda each: normal(each.name))

    def from_conda(self) -> list[Distribution]:
        """Return the Python packages that conda installed."""
        return [each for each in self.distributions() if not from_pip(each)]

    def conda_packages(self) -> list[str]:
        """Return name, version and build of conda's packages."""
        return sorted(file.stem for file in (self.path / "conda-meta").glob("*.json"))

    def overwritten(self) -> list[tuple[str, str, str]]:
        """Return each file that both brought, with the package of pip's and the one of conda's."""
        owners = {
            path: record["name"] for record in self._conda_records() for path in record["files"]
        }
        return [
            (path, normal(each.name), owners[path])
            for each in self.distributions()
            if from_pip(each)
            for file in owned_files(each)
            if (path := os.path.relpath(file, self.path)) in owners
        ]

    def brought_by(
        self, distribution: Distribution, requirements: Sequence[Requirement]
    ) -> list[Requirement]:
        """Return the requirements for whose sake conda installed a Python package."""
        records = {record["name"]: record for record in self._conda_records()}
        metadata = f"/{Path(str(distribution._path)).name}/METADATA"  # type: ignore[attr-defined]  # noqa: SLF001
        package = next(
            (
                name
                for name, record in records.items()
                if any(path.endswith(metadata) for path in record["files"])
            ),
            normal(distribution.name),
        )
        return [
            each for each in requirements if package in _needs(each.spec.name.normalized, records)
        ]

    def _conda_records(self) -> list[dict[str, Any]]:
        files = sorted((self.path / "conda-meta").glob("*.json"))
        return [json.loads(file.read_text(encoding="utf-8")) for file in files]

    def site_packages(self) -> list[Path]:
        """Return the folders of Python packages."""
        return sorted(self.path.glob("lib/python3*/site-packages"))


def from_pip(distribution: Distribution) -> bool:
    """Say whether a Python package was installed after conda's."""
    return (distribution.read_text("INSTALLER") or "").strip() == PIP_INSTALLER


def owned_files(distribution: Distribution) -> list[Path]:
    """Return the files of a package as its RECORD lists them."""
    # Not resolved: a program in bin may be a link, and it is the link that is owned.
    return [Path(os.path.normpath(str(file.locate()))) for file in distribution.files or []]


def _needs(name: str, records: dict[str, dict[str, Any]]) -> set[str]:
    found: set[str] = set()
    todo = [name]
    while todo:
        current = todo.pop()
        if current not in found and current in records:
            found.add(current)
            todo += [depends.split()[0] for depends in records[current].get("depends", [])]
    return found
