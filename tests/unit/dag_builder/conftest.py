"""Airflow gets a home of its own before anything imports it."""

import atexit
import os
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

HOME = tempfile.TemporaryDirectory(prefix="dag-builder-tests-")
atexit.register(HOME.cleanup)
os.environ.setdefault("AIRFLOW_HOME", HOME.name)
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")


@pytest.fixture
def module() -> Iterator[types.ModuleType]:
    """An empty module named ``sales``, importable while the test runs."""
    made = types.ModuleType("sales")
    sys.modules["sales"] = made
    yield made
    del sys.modules["sales"]


@pytest.fixture
def dag_folder(tmp_path: Path) -> Path:
    """A folder for DAG files."""
    folder = tmp_path / "dags"
    folder.mkdir()
    return folder
