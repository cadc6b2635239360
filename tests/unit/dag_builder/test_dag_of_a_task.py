"""A file that a worker reads for one task: only the DAG of the task is built."""

import subprocess
import sys
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import Context
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.context import set_current_context

#: Each operator that is made is noted in the file's own folder.
HEAD = """\
from pathlib import Path
from airflow.sdk import BaseOperator
from dag_builder import build_dag, build_dags, build_yaml

class Noted(BaseOperator):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with (Path(__file__).parent / "made.txt").open("a") as file:
            file.write(kwargs["dag"].dag_id + chr(10))

ONE = {"tasks": {"a": {"operator": Noted}}}
"""
THREE = f"{HEAD}for n in range(3): build_dag(f'd{{n}}', ONE)"


@pytest.fixture(autouse=True)
def task_of_d1(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that starts a task of d1, as task_runner.main makes it."""
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", object(), raising=False)
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "d1")
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", "a")


def read(folder: Path, code: str) -> tuple[DagBag, list[str]]:
    """The file as a worker reads it for a task of d1, and the DAGs of the operators it makes."""
    (folder / "made.txt").write_text("", encoding="utf-8")
    file = folder / "file.py"
    file.write_text(HEAD + code, encoding="utf-8")
    bag = DagBag(str(file), safe_mode=False)
    return bag, (folder / "made.txt").read_text(encoding="utf-8").split()


YAML = "dags:\n" + "".join(f"  d{n}: {{tasks: {{a: {{operator: empty}}}}}}\n" for n in range(3))


@pytest.mark.parametrize(
    "code",
    [
        "for n in range(3): build_dag(f'd{n}', ONE)",
        "for n in range(3): globals()[f'dag_{n}'] = build_dag(f'd{n}', ONE)",
        "dags = build_dags('d${n}', ONE, {'n': [0, 1, 2]})\nassert len(dags) == 3",
        "dags = build_dags('d${n}', ONE, {'n': [0, 1, 2]})\nassert dags[2].dag_id == 'd2'",
    ],
)
def test_only_the_dag_of_the_task_is_built(dag_folder: Path, code: str) -> None:
    bag, made = read(dag_folder, code)
    assert not bag.import_errors
    assert (sorted(bag.dags), made) == (["d1"], ["d1"])


def test_only_the_dag_of_the_task_is_built_from_yaml(dag_folder: Path) -> None:
    (dag_folder / "some.yaml").write_text(YAML, encoding="utf-8")
    bag, _ = read(dag_folder, "dags = build_yaml('some.yaml')\nassert len(dags) == 3")
    assert not bag.import_errors
    assert sorted(bag.dags) == ["d1"]


@pytest.mark.parametrize(
    "use",
    [
        "assert other.get_task('a').dag is not None",
        "with other: Noted(task_id='b')",
        "other.doc_md = 'x'\nassert other.doc_md == 'x'",
    ],
)
def test_another_dag_is_built_when_it_is_used(dag_folder: Path, use: str) -> None:
    code = f"build_dag('d1', ONE)\nother = build_dag('d2', ONE)\n{use}"
    bag, made = read(dag_folder, code)
    assert not bag.import_errors
    assert sorted(bag.dags) == ["d1", "d2"]
    assert made[:2] == ["d1", "d2"]


def test_mistakes_of_another_dag_do_not_matter(dag_folder: Path) -> None:
    code = "build_dag('d1', ONE)\nbuild_dag('d2', {'tasks': {'a': {'operator': 'emtpy'}}})"
    bag, _ = read(dag_folder, code)
    assert not bag.import_errors
    assert list(bag.dags) == ["d1"]


def test_a_dag_with_mistakes_that_is_used_raises_the_reason(dag_folder: Path) -> None:
    wrong = "build_dag('d2', {'tasks': {'a': {'operator': 'emtpy'}}})"
    bag, _ = read(dag_folder, f"build_dag('d1', ONE)\n{wrong}.get_task('a')")
    [text] = bag.import_errors.values()
    assert "d2.tasks.a.operator" in text


def test_all_dags_are_built_when_no_task_starts(
    dag_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID")
    bag, made = read(dag_folder, "for n in range(3): build_dag(f'd{n}', ONE)")
    assert sorted(bag.dags) == made == ["d0", "d1", "d2"]


def test_all_dags_are_built_in_a_task_that_runs(dag_folder: Path) -> None:
    """Airflow leaves the parsing context in the environment of the task."""
    with set_current_context(Context()):
        bag, _ = read(dag_folder, "for n in range(3): build_dag(f'd{n}', ONE)")
    assert sorted(bag.dags) == ["d0", "d1", "d2"]


def test_all_dags_are_checked_by_a_program_of_a_task(dag_folder: Path) -> None:
    """A program that a task starts inherits the parsing context."""
    (dag_folder / "file.py").write_text(THREE, encoding="utf-8")
    command = [sys.executable, "-m", "dag_builder", "check", str(dag_folder / "file.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 tasks" in done.stdout
