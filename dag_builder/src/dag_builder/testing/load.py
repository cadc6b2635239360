"""The DAGs of files and folders, read as Airflow reads them, with what is wrong with them."""

from __future__ import annotations

import os
import re
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dag_builder import airflow_internals
from dag_builder.builder import dags_of_document
from dag_builder.errors import NOTHING
from dag_builder.make.register import collecting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.sdk import DAG

    from dag_builder.errors import Problem


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One error for programs that show it at its place. Line and column count from 1; 0: unknown.

    `file` has the mistake. `path` leads to it from the DAG's name.
    """

    file: str
    line: int = 0
    column: int = 0
    path: str = ""
    message: str
    given: str = ""
    valid: str = ""
    suggestion: str = ""
    hint: str = ""

    @classmethod
    def of(cls, problem: Problem, file: str, line: int = 0) -> Fault:
        """The fault of a Problem; `file` and `line` are where the DAG is built."""
        place = problem.position
        return cls(
            file=place.file if place else file,
            line=place.line if place else line,
            column=place.column if place else 0,
            path=problem.where,
            message=problem.message,
            given="" if problem.given is NOTHING else repr(problem.given),
            valid=problem.valid,
            suggestion=problem.suggestion,
            hint=problem.hint,
        )


def _line_in(file: str, text: str) -> int:
    """The last line of the file that a traceback in the text names, or 0."""
    lines = re.findall(rf'File "[^"]*{re.escape(Path(file).name)}", line (\d+)', text)
    return int(lines[-1]) if lines else 0


@dataclass(kw_only=True)
class Loaded:
    """What was found. `errors`, `warnings` and `notes` (no fault at all) are texts by file."""

    dags: dict[str, DAG] = field(default_factory=dict[str, "DAG"])
    errors: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    warnings: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    notes: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    #: The errors one by one, each with its place if it has one.
    faults: list[Fault] = field(default_factory=list["Fault"])

    def add_error(self, file: str, text: str, *faults: Fault) -> None:
        """Note what is wrong with a file; `faults` are what the text consists of."""
        self.errors.setdefault(file, []).append(text)
        self.faults.extend(faults or [Fault(file=file, line=_line_in(file, text), message=text)])


def load(paths: Iterable[Path], tasks: str | None = None) -> Loaded:
    """Read Python DAG files, YAML files and folders of them.

    `tasks` is the module that YAML files name functions of. Nothing is raised for a broken DAG.
    """
    found = Loaded()
    for path in paths:
        if not path.exists():
            found.add_error(str(path), "there is no such file or folder")
        elif path.suffix in {".yaml", ".yml"}:
            _load_yaml(path, tasks, found, top=path.parent)
        else:
            _load_python(path, tasks, found)
    return found


def _load_yaml(path: Path, tasks: str | None, found: Loaded, *, top: Path) -> None:
    from dag_builder.yaml.documents import read_document

    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    document = read_document(path, top=top)
    problems: list[Problem] = []
    for dag in dags_of_document(document, tasks, problems):
        _keep(dag, str(path), found)
    for problem in problems:
        found.add_error(str(path), str(problem), Fault.of(problem, str(path)))


def _load_yaml_alone(folder: Path, tasks: str | None, found: Loaded) -> None:
    """The YAML files of a folder whose Python files build none of it, if they hold DAGs."""
    from dag_builder.yaml.documents import holds_dags, yaml_files

    calls = "build_yaml"
    if any(calls in file.read_text(errors="replace") for file in folder.rglob("*.py")):
        return
    for file in yaml_files(folder):
        if not holds_dags(file):
            found.notes.setdefault(str(file), []).append(
                "passed over: it has none of the keys dag_id, dags, tasks and for_each. Name the "
                "file itself to have it checked all the same"
            )
        else:
            _load_yaml(file, tasks, found, top=folder)
            found.warnings.setdefault(str(file), []).append(
                "Airflow reads only Python files, and none in this folder calls build_yaml"
            )


def _load_python(path: Path, tasks: str | None, found: Loaded) -> None:
    """Read Python files with Airflow's own DagBag, so that errors are those of the cluster."""
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH", "3")
    folder = path if path.is_dir() else path.parent
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Of a relative path the bag loses every file that it cannot place in the bundle.
        with collecting() as reported:
            bag = airflow_internals.dag_bag(path.resolve(), bundle=folder.resolve())
    for file, text in bag.import_errors.items():
        place = (folder / file).resolve()
        faults = [
            Fault.of(one.problem, str(folder / file), one.line)
            for one in reported
            if Path(one.file).resolve() == place
        ]
        found.add_error(str(folder / file), text.removeprefix("DagError: "), *faults)
    for dag in bag.dags.values():
        _keep(dag, dag.fileloc, found)
    if path.is_dir():
        _load_yaml_alone(path, tasks, found)
    for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
        _warn_of_safe_mode(file, bag.dags.values(), found)


def _warn_of_safe_mode(file: Path, dags: Iterable[DAG], found: Loaded) -> None:
    """Warn of a file without the word 'airflow', which Airflow does not open by default."""
    has_dags = any(Path(dag.fileloc) == file.resolve() for dag in dags)
    if has_dags and not airflow_internals.passes_safe_mode(file):
        found.warnings.setdefault(str(file), []).append(
            "Airflow's safe mode skips this file: the word 'airflow' is nowhere in it. Write it "
            "in a comment, or set AIRFLOW__CORE__DAG_DISCOVERY_SAFE_MODE=False"
        )


def _keep(dag: DAG, file: str, found: Loaded) -> None:
    other = found.dags.get(dag.dag_id)
    if other is not None and file.endswith((".yaml", ".yml")):
        return  # a YAML file is a DAG to Airflow only through the Python file that builds it
    if other is not None:
        found.add_error(file, f"{dag.dag_id}\n    is also the id of a DAG in {other.fileloc}")
        return
    found.dags[dag.dag_id] = dag
