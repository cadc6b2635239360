"""Airflow gets a home of its own before anything imports it."""

import atexit
import os
import sys
import tempfile
import types
from collections.abc import Generator, Iterator
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


#: Modules whose DAGs are many and alike, or are changed after they are built, and a test that
#: changes an environment variable.
NOT_EJECTED = {
    "test_dag_scale",
    "test_dag_of_a_task",
    "test_airflow_env_is_the_interpreter_that_reads_the_dag",
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Eject every DAG that a test builds: the code's DAG must be equal."""
    if {item.path.stem, item.name} & NOT_EJECTED:
        return (yield)
    from dag_builder.make.plans import keeping

    from tests.unit.dag_builder.ejection import compare_all

    with keeping() as keeper:
        result = yield
    compare_all(keeper.built)
    return result
