"""CPU seconds to make 100 DAGs of 50 tasks: plain Airflow, dag_builder and dag-factory.

All of them make the same DAGs (checked) in one process, in turn, several rounds; the smallest
figure of each counts, as what comes on top of it is the machine's noise. Validation is included.
dag-factory is the peer. It is not in this project's environment, so uv makes another one with it,
with this Airflow and this Python, and everything is measured in there. If uv cannot do that,
its two lines are left out, and the reason and the command are printed. The targets are 1.15 times
plain from a dictionary and 1.3 times from YAML.

Before each task, a worker reads the task's DAG file. The last lines measure that for a file of 200
DAGs: the time for one task, as a ratio to the time in which the same file is read for all of them.
The target is 0.05 from dictionaries. From YAML it is 0.2, because all of its text is read.
"""

from __future__ import annotations

import atexit
import copy
import datetime as dt
import gc
import importlib.metadata
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

# This file has the library's name, and Python would import it in the library's place.
sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != Path(__file__).parent]

HOME = tempfile.TemporaryDirectory(prefix="dag-builder-benchmark-")
atexit.register(HOME.cleanup)
os.environ.setdefault("AIRFLOW_HOME", HOME.name)
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
os.environ["DO_NOT_TRACK"] = "1"  # dag-factory reports its use otherwise

import yaml  # noqa: E402
from airflow.providers.standard.operators.bash import BashOperator  # noqa: E402
from airflow.providers.standard.operators.empty import EmptyOperator  # noqa: E402
from airflow.providers.standard.operators.python import PythonOperator  # noqa: E402
from airflow.sdk import DAG  # noqa: E402

import dag_builder  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

DAGS, TASKS, ROUNDS = 100, 50, 7
TARGETS = {"dag_builder, dictionary": 1.15, "dag_builder, YAML": 1.3}
DAGS_OF_A_FILE, TASKS_OF_A_FILE = 200, 10
START_TARGETS = {"dictionary": 0.05, "YAML": 0.2}
_STANDARD = "airflow.providers.standard.operators"


def upstream(number: int) -> list[str]:
    """Every task follows the one before it and the one five before: a chain with fans."""
    return [f"task_{other}" for other in (number - 1, number - 5) if other >= 0]


def plain() -> list[DAG]:
    """Make the DAGs as one writes them with Airflow alone."""
    dags = []
    for number in range(DAGS):
        with DAG(
            f"dag_{number}",
            schedule="@daily",
            start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            default_args={"retries": 2, "retry_delay": dt.timedelta(minutes=5)},
        ) as dag:
            made: dict[str, Any] = {}
            for index in range(TASKS):
                name = f"task_{index}"
                if index % 3 == 0:
                    task = BashOperator(task_id=name, bash_command=f"echo {index}", retries=3)
                elif index % 3 == 1:
                    task = PythonOperator(task_id=name, python_callable=os.getcwd, queue="default")
                else:
                    task = EmptyOperator(task_id=name, trigger_rule="all_done")
                before = [made[other] for other in upstream(index)]
                if before:
                    before >> task
                made[name] = task
        dags.append(dag)
    return dags


def dictionary(operators: dict[str, str], links: str) -> dict[str, Any]:
    """One DAG as a dictionary, in the words of ours or of dag-factory."""
    tasks: dict[str, Any] = {}
    for index in range(TASKS):
        if index % 3 == 0:
            task = {"operator": operators["bash"], "bash_command": f"echo {index}", "retries": 3}
        elif index % 3 == 1:
            task = {
                "operator": operators["python"],
                "python_callable": "os.getcwd",
                "queue": "default",
            }
        else:
            task = {"operator": operators["empty"], "trigger_rule": "all_done"}
        if before := upstream(index):
            task[links] = before
        tasks[f"task_{index}"] = task
    return {
        "schedule": "@daily",
        "start_date": "2026-01-01",
        "default_args": {"retries": 2, "retry_delay": 300},
        "tasks": tasks,
    }


OURS = {"bash": "bash", "python": "python", "empty": "empty"}
THEIRS = {
    "bash": f"{_STANDARD}.bash.BashOperator",
    "python": f"{_STANDARD}.python.PythonOperator",
    "empty": f"{_STANDARD}.empty.EmptyOperator",
}


def ours_from_dictionaries() -> Callable[[], list[DAG]]:
    """Prepare our way from dictionaries."""
    given = [dictionary(OURS, "upstream") for _ in range(DAGS)]
    return lambda: [
        dag_builder.dag_of(f"dag_{number}", one, fileloc=__file__)
        for number, one in enumerate(given)
    ]


def ours_from_yaml(folder: Path) -> Callable[[], list[DAG]]:
    """Prepare our way from a folder of YAML files, one a DAG."""
    for number in range(DAGS):
        text = yaml.safe_dump(
            {"dag_id": f"dag_{number}", **dictionary(OURS, "upstream")}, sort_keys=False
        )
        (folder / f"dag_{number:03}.yaml").write_text(text)

    def build() -> list[DAG]:
        module = {"__name__": "benchmark", "build_yaml": dag_builder.build_yaml, "folder": folder}
        return eval(compile("build_yaml(folder)", __file__, "eval"), module)  # noqa: S307

    return build


def theirs_from_dictionaries() -> Callable[[], list[DAG]]:
    """Prepare dag-factory's way from a dictionary."""
    from dagfactory.dagfactory import _DagFactory  # noqa: PLC0415

    given = {f"dag_{number}": dictionary(THEIRS, "dependencies") for number in range(DAGS)}
    return lambda: list(_DagFactory(config_dict=given).build_dags().values())


def theirs_from_yaml(folder: Path) -> Callable[[], list[DAG]]:
    """Prepare dag-factory's way from YAML files, one a DAG."""
    from dagfactory.dagfactory import _DagFactory  # noqa: PLC0415

    for number in range(DAGS):
        one = {f"dag_{number}": dictionary(THEIRS, "dependencies")}
        (folder / f"dag_{number:03}.yaml").write_text(yaml.safe_dump(one, sort_keys=False))
    files = sorted(folder.glob("*.yaml"))

    def build() -> list[DAG]:
        return [
            dag
            for file in files
            for dag in _DagFactory(config_filepath=str(file)).build_dags().values()
        ]

    return build


def file_of_many(folder: Path, form: str) -> Path:
    """Write a DAG file with many DAGs, in one of the two forms."""
    one = dictionary(OURS, "upstream")
    one["tasks"] = dict(list(one["tasks"].items())[:TASKS_OF_A_FILE])
    file = folder / f"{form.lower()}_file.py"
    if form == "YAML":
        dags = {f"dag_{n}": copy.deepcopy(one) for n in range(DAGS_OF_A_FILE)}
        text = yaml.safe_dump({"dags": dags})  # copies, as one object would be written as aliases
        (folder / "many.yml").write_text(text)
        file.write_text("from dag_builder import build_yaml\nbuild_yaml('many.yml')\n")
    else:
        file.write_text(
            f"from dag_builder import build_dag\nONE = {one!r}\n"
            f"for n in range({DAGS_OF_A_FILE}):\n    build_dag(f'dag_{{n}}', ONE)\n"
        )
    return file


def seconds_to_read(file: Path) -> tuple[float, int]:
    """Measure the CPU seconds in which Airflow reads a DAG file, and count its DAGs."""
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415

    gc.collect()
    start = time.process_time()
    bag = DagBag(str(file), safe_mode=False)
    seconds = time.process_time() - start
    if bag.import_errors:
        sys.exit(str(bag.import_errors))
    return seconds, len(bag.dags)


def seconds_of_a_start(file: Path) -> tuple[float, int]:
    """Measure the same as a worker does it before a task of one of the DAGs."""
    from airflow.sdk.execution_time import task_runner  # noqa: PLC0415

    os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = f"dag_{DAGS_OF_A_FILE // 2}"
    task_runner.SUPERVISOR_COMMS = None  # its presence is what says that a task starts
    try:
        return seconds_to_read(file)
    finally:
        del task_runner.SUPERVISOR_COMMS
        del os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"]


def start_ratios() -> dict[str, float]:
    """Measure the start of a task against reading all DAGs of its file; the best of each."""
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for form in START_TARGETS:
            file = file_of_many(Path(folder), form)
            every: list[tuple[float, int]] = []
            one: list[tuple[float, int]] = []
            for _ in range(ROUNDS):
                every.append(seconds_to_read(file))
                one.append(seconds_of_a_start(file))
            if {count for _, count in every} != {DAGS_OF_A_FILE} or {n for _, n in one} != {1}:
                sys.exit(f"{form}: other DAGs were built than the file has, or the task needs")
            ratios[form] = min(one)[0] / min(every)[0]
    return ratios


def shape(dags: list[DAG]) -> dict[str, Any]:
    """Describe what must be the same whichever library made the DAGs."""
    return {
        dag.dag_id: {
            task.task_id: (task.task_type, task.retries, sorted(task.upstream_task_ids))
            for task in dag.tasks
        }
        for dag in dags
    }


def measure(ways: dict[str, Callable[[], list[DAG]]]) -> dict[str, float]:
    """Measure the smallest CPU time of each way, in seconds."""
    expected = shape(ways["plain Airflow"]())
    best: dict[str, float] = {}
    for round_number in range(ROUNDS + 1):
        for name, build in ways.items():
            dags: list[DAG] = []  # those of the way before are not carried along
            gc.collect()
            start = time.process_time()
            dags = build()
            seconds = time.process_time() - start
            if round_number == 0:
                if shape(dags) != expected:
                    sys.exit(f"{name} made other DAGs than plain Airflow")
            else:
                best[name] = min(seconds, best.get(name, seconds))
    return best


def command_with_peer(uv: str) -> list[str]:
    """Give the command to run a Python program beside dag-factory, but for its arguments."""
    return [
        *(uv, "run", "--no-project", "--python", f"3.{sys.version_info.minor}"),
        *("--with-editable", str(Path(__file__).parents[1] / "dag_builder")),
        *("--with", "dag-factory==1.1.*"),
        *("--with", f"apache-airflow=={importlib.metadata.version('apache-airflow')}"),
        "python",
    ]


def measure_beside_peer() -> int | None:
    """Run this file beside dag-factory; print the reason and return None if that fails."""
    uv = shutil.which("uv")
    command = command_with_peer(uv or "uv")
    reason = "there is no uv on the PATH (. ./env.sh)"
    if uv is not None:
        probe = [*command, "-c", "import dagfactory"]
        tried = subprocess.run(probe, capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            return subprocess.run([*command, __file__], check=False).returncode
        reason = tried.stderr.strip() or f"exit code {tried.returncode}"
    here = Path(__file__).relative_to(Path(__file__).parents[1])
    print(
        "LEFT OUT: dag-factory, the peer, is not installed and could not be added: "
        f"{reason}\nto measure it: {shlex.join([*command, str(here)])}"
    )
    return None


def main() -> None:
    """Measure, print the ratios, and exit with 1 where a target is missed."""
    if not importlib.util.find_spec("dagfactory"):
        code = measure_beside_peer()
        if code is not None:
            sys.exit(code)
    with tempfile.TemporaryDirectory() as ours, tempfile.TemporaryDirectory() as theirs:
        ways: dict[str, Callable[[], list[DAG]]] = {
            "plain Airflow": plain,
            "dag_builder, dictionary": ours_from_dictionaries(),
            "dag_builder, YAML": ours_from_yaml(Path(ours)),
        }
        if importlib.util.find_spec("dagfactory"):
            ways["dag-factory, dictionary"] = theirs_from_dictionaries()
            ways["dag-factory, YAML"] = theirs_from_yaml(Path(theirs))
        best = measure(ways)
    reference = best["plain Airflow"]
    print(f"{DAGS} DAGs of {TASKS} tasks, CPU seconds, best of {ROUNDS}")
    missed = False
    for name, seconds in best.items():
        ratio = seconds / reference
        target = TARGETS.get(name)
        verdict = (
            "" if target is None else f"  target {target}: {'met' if ratio <= target else 'MISSED'}"
        )
        missed |= target is not None and ratio > target
        print(f"{name:26} {seconds:6.2f} s  {ratio:5.2f} x plain{verdict}")
    print(f"\na task's start in a file of {DAGS_OF_A_FILE} DAGs of {TASKS_OF_A_FILE} tasks")
    for form, ratio in start_ratios().items():
        target = START_TARGETS[form]
        missed |= ratio > target
        verdict = "met" if ratio <= target else "MISSED"
        print(f"dag_builder, {form:13} {ratio:5.2f} x all of its DAGs  target {target}: {verdict}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
