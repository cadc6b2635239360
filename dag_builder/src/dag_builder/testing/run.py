"""Runs one DAG in this process: no cluster, and a temporary file as the database."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dag_builder import airflow_internals
from dag_builder.errors import closest, listed

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Generator, Iterator, Mapping

    from airflow.sdk import DAG

#: Airflow reads its settings when it is first imported, so they are set before that.
_SETTINGS = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__CORE__DAG_DISCOVERY_SAFE_MODE": "False",
    "AIRFLOW__CORE__DAG_IGNORE_FILE_SYNTAX": "glob",
    "AIRFLOW__CORE__AUTH_MANAGER": (
        "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
    ),
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    "AIRFLOW__LOGGING__REMOTE_LOGGING": "False",
}
#: Settings of a cluster that would override the temporary database and folder.
_UNSET = (
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
    "AIRFLOW__DATABASE__EXTERNAL_DB_MANAGERS",
)


_STUB = "run_yaml.py"
_IGNORE_FILE = ".airflowignore"


class RunError(Exception):
    """The DAG could not be run at all. The text has the reason and what to do."""


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """How one task ended. `map_index` is -1 if it is not mapped."""

    task_id: str
    map_index: int
    state: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a run ended."""

    dag_id: str
    state: str
    tasks: tuple[TaskResult, ...]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run may be given; see ``dag-builder run --help``."""

    dag_id: str | None = None
    tasks: str | None = None
    conf: Mapping[str, Any] | None = None
    logical_date: str | None = None
    skip: str | None = None
    quiet: bool = False
    connections: Path | None = None
    variables: Path | None = None


def run_file(path: Path, options: RunOptions) -> RunResult:
    """Run one DAG of a Python or YAML file with ``DAG.test``.

    A temporary metadata database (SQLite) is made for it, so Airflow must not be imported yet in
    this process. Connections and variables come from the two files, or from the environment
    (``AIRFLOW_CONN_…``, ``AIRFLOW_VAR_…``). Raises RunError if there is nothing to run, and
    DagError if the DAG is broken.
    """
    if not path.is_file():
        message = f"there is no file {path}"
        raise RunError(message)
    logical_date = _logical_date(options.logical_date)
    if "airflow.settings" in sys.modules:
        message = "Airflow is already imported here, with its own database: use a new process"
        raise RunError(message)
    with tempfile.TemporaryDirectory(prefix="dag-builder-run-") as home:
        place, file = Path(home), path.resolve()
        with _settings(place, file, options):
            return _run(place, file, options, logical_date)


@contextlib.contextmanager
def _settings(home: Path, path: Path, options: RunOptions) -> Generator[None]:
    folder = home / "dags"
    folder.mkdir()
    if path.suffix in {".yaml", ".yml"}:
        # Airflow takes DAGs from Python files only.
        call = f"build_yaml({str(path)!r}, tasks={options.tasks!r})"
        stub = f"from dag_builder import build_yaml\n{call}\n"
        (folder / _STUB).write_text(stub, encoding="utf-8")
    else:
        _mirror(path, folder)
    before = dict(os.environ)
    os.environ.update(_SETTINGS)
    for name in _UNSET:
        os.environ.pop(name, None)
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR" if options.quiet else "INFO"
    os.environ["AIRFLOW_HOME"] = str(home)
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(folder)
    os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{home}/run.db"
    sys.path.insert(0, str(path.parent))
    try:
        yield
    finally:
        sys.path.remove(str(path.parent))
        os.environ.clear()
        os.environ.update(before)


def _mirror(file: Path, folder: Path) -> None:
    """Make a dags folder of which Airflow reads one file, with the files beside that one.

    DAG.test reads the whole dags folder once more, each of its DAG files and those below.
    """
    for beside in file.parent.iterdir():
        if beside.name != _IGNORE_FILE:
            (folder / beside.name).symlink_to(beside)
    (folder / _IGNORE_FILE).write_text(f"*\n!{file.name}\n", encoding="utf-8")


def _logical_date(text: str | None) -> dt.datetime | None:
    from dag_builder.read.times import MOMENT_FORMS, moment

    if text is None:
        return None
    try:
        return moment(text, "UTC")
    except ValueError as error:
        message = f"--date: {text!r}: {error}; valid: {MOMENT_FORMS}"
        raise RunError(message) from error


def _run(
    home: Path, path: Path, options: RunOptions, logical_date: dt.datetime | None
) -> RunResult:
    airflow_internals.make_database()
    dag = _find(home, path, options.dag_id)
    arguments: dict[str, Any] = {}
    if logical_date is not None:
        arguments["logical_date"] = logical_date
    tested: Any = dag
    run = tested.test(
        run_conf=dict(options.conf) if options.conf else None,
        conn_file_path=str(options.connections) if options.connections else None,
        variable_file_path=str(options.variables) if options.variables else None,
        mark_success_pattern=re.compile(options.skip) if options.skip else None,
        **arguments,
    )
    return RunResult(
        dag_id=dag.dag_id,
        state=str(getattr(run.state, "value", run.state)),
        tasks=tuple(_results(run)),
    )


def _find(home: Path, path: Path, dag_id: str | None) -> DAG:
    of_yaml = path.suffix in {".yaml", ".yml"}
    file = home / "dags" / (_STUB if of_yaml else path.name)
    bag = airflow_internals.dag_bag(file, bundle=file.parent)
    dags = bag.dags
    if dag_id is None and len(dags) == 1 and not bag.import_errors:
        return next(iter(dags.values()))
    if dag_id in dags:
        return dags[dag_id]
    if bag.import_errors:
        raise RunError("\n".join(text for text in bag.import_errors.values()))
    names = sorted(dags)
    if dag_id is None:
        message = f"{path} has {len(dags)} DAGs: choose one with --dag: {listed(names)}"
        raise RunError(message)
    near = closest(dag_id, names)
    question = f"; did you mean {near!r}?" if near else ""
    message = f"{path} has no DAG {dag_id!r}: {listed(names)}{question}"
    raise RunError(message)


def _results(run: Any) -> Iterator[TaskResult]:
    instances = sorted(
        run.get_task_instances(),
        key=lambda ti: (str(ti.start_date or "~"), ti.task_id, ti.map_index),
    )
    for instance in instances:
        yield TaskResult(
            task_id=instance.task_id,
            map_index=instance.map_index,
            state=str(getattr(instance.state, "value", instance.state)),
            seconds=instance.duration or 0.0,
        )


def read_conf(text: str | None) -> Mapping[str, Any] | None:
    """The run's configuration from JSON. Raises RunError if it is not an object."""
    if text is None:
        return None
    try:
        conf = json.loads(text)
    except json.JSONDecodeError as error:
        message = f"--conf is not valid JSON: {error}"
        raise RunError(message) from error
    if not isinstance(conf, dict):
        message = '--conf must be a JSON object such as {"country": "fr"}'
        raise RunError(message)
    return cast("Mapping[str, Any]", conf)
