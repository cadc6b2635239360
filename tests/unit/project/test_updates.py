"""The configuration for dependency updates reaches every place where a version is pinned."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tools import versions

ROOT = Path(__file__).parents[3]
CONFIGURATION: dict[str, Any] = json.loads((ROOT / ".github" / "renovate.json").read_text())
CUSTOM: list[dict[str, Any]] = CONFIGURATION["customManagers"]


def python_pattern(pattern: str) -> str:
    return pattern.replace("(?<", "(?P<")


def found_by_custom_managers(file: str) -> set[str]:
    text = (ROOT / file).read_text()
    return {
        match["currentValue"]
        for manager in CUSTOM
        if any(re.search(pattern.strip("/"), file) for pattern in manager["managerFilePatterns"])
        for expression in manager["matchStrings"]
        for match in re.finditer(python_pattern(expression), text)
    }


def test_every_program_that_set_up_gets_is_updated() -> None:
    pins = {versions.PULUMI, versions.COMPOSE, versions.UV, versions.GO}
    assert found_by_custom_managers("tools/versions.py") == pins


def test_every_conda_package_is_updated() -> None:
    text = (ROOT / "images/airflow/conda_requirements.txt").read_text()
    pinned = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(found_by_custom_managers("images/airflow/conda_requirements.txt")) == len(pinned)


def test_every_requirements_file_is_updated() -> None:
    patterns = CONFIGURATION["pip_requirements"]["managerFilePatterns"]
    files = [*ROOT.glob("tools/*requirements.txt"), *ROOT.glob("images/*/*requirements.txt")]
    names = {file.relative_to(ROOT).as_posix() for file in files}
    by_pip = {n for n in names if any(re.search(p.strip("/"), n) for p in patterns)}
    assert names - by_pip == {"images/airflow/conda_requirements.txt"}


@pytest.mark.parametrize(
    ("manager", "pattern"),
    [
        ("pep621", "pyproject.toml"),
        ("gomod", "tools/go_modules/*/go.mod"),
        ("github-actions", ".github/workflows/*"),
        ("dockerfile", "images/*/Dockerfile"),
    ],
)
def test_the_other_places_have_a_manager(manager: str, pattern: str) -> None:
    assert manager in CONFIGURATION["enabledManagers"]
    assert list(ROOT.glob(pattern))
