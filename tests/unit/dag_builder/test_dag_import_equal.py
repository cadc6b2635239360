"""What is imported from dag-factory does what it did there, or a note says what differs."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk import DAG
from dag_builder.builder import dags_of_document
from dag_builder.cli.main import main
from dag_builder.dag_factory.convert import convert_file
from dag_builder.yaml.documents import read_document, read_string

from dag_builder import DagError

EMPTY = "airflow.providers.standard.operators.empty.EmptyOperator"
BASH = "airflow.providers.standard.operators.bash.BashOperator"
PYTHON = "airflow.providers.standard.operators.python.PythonOperator"
TASK = f"tasks: {{a: {{operator: {EMPTY}}}}}"


def imported(tmp_path: Path, text: str) -> tuple[dict[str, DAG], list[str]]:
    """The DAGs that the converted file makes, and the notes."""
    file = tmp_path / "old.yaml"
    file.write_text(text)
    made = convert_file(file)
    problems: list[Any] = []
    dags = dags_of_document(read_string(made.to_yaml()), {}, problems)
    assert not problems, [str(problem) for problem in problems]
    return {dag.dag_id: dag for dag in dags}, made.notes


def cron_zone(dag: DAG) -> str:
    return str(getattr(dag.timetable, "timezone", None) or dag.timezone)


def test_a_folder_is_converted_with_its_defaults(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "sub").mkdir(parents=True)
    (old / "defaults.yml").write_text(
        "default_args: {owner: shop, start_date: 2024-01-01}\nschedule: '@daily'\n"
    )
    (old / "sub" / "g.yml").write_text(f"g:\n  {TASK}\n")
    (old / "bad.yml").write_text("services: {web: {image: x}}\n")
    assert main(["import", str(old), "-o", str(new)]) == 1
    assert sorted(str(file.relative_to(new)) for file in new.rglob("*.yaml")) == ["defaults.yaml"]
    problems: list[Any] = []
    document = read_document(new / "sub" / "g.yml", top=new)
    (dag,) = dags_of_document(document, {}, problems)
    assert not problems
    assert dag.get_task("a").owner == "shop"
    assert dag.schedule == "@daily"


def test_a_file_beside_defaults_has_a_note(tmp_path: Path) -> None:
    (tmp_path / "defaults.yml").write_text("default_args: {owner: shop}\n")
    _, notes = imported(tmp_path, f"g:\n  {TASK}\n")
    assert "dag-factory reads the folder's defaults.yml as well: import the folder" in notes


def test_notes_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "g.yml").write_text(f"g:\n  labels: x\n  {TASK}\n")
    out = tmp_path / "new.yaml"
    assert main(["import", str(tmp_path / "g.yml"), "-o", str(out), "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["notes"] == {
        str(tmp_path / "g.yml"): ["g: 'labels' was left out: dag-factory did not read it"]
    }


def test_a_timezone_without_a_date_of_the_dag_has_no_effect(tmp_path: Path) -> None:
    dags, notes = imported(
        tmp_path,
        "g:\n  timezone: Europe/Paris\n  schedule: '0 3 * * *'\n"
        f"  default_args: {{start_date: 2024-06-15}}\n  {TASK}\n",
    )
    assert dags["g"].get_task("a").start_date == dt.datetime(2024, 6, 15, tzinfo=dt.UTC)
    assert cron_zone(dags["g"]) == "UTC"
    assert any("'timezone' was left out" in note for note in notes)


def test_a_timezone_with_a_date_is_that_of_the_cron(tmp_path: Path) -> None:
    dags, _ = imported(
        tmp_path,
        "g:\n  timezone: Europe/Paris\n  start_date: 2024-06-15\n  schedule: '0 3 * * *'\n"
        f"  default_args: {{end_date: 2025-06-15}}\n  {TASK}\n",
    )
    assert dags["g"].start_date == dt.datetime(2024, 6, 14, 22, tzinfo=dt.UTC)
    assert dags["g"].get_task("a").end_date == dt.datetime(2025, 6, 15, tzinfo=dt.UTC)
    assert cron_zone(dags["g"]) == "Europe/Paris"


def test_a_timezone_in_default_args_is_that_of_its_dates(tmp_path: Path) -> None:
    dags, _ = imported(
        tmp_path,
        "g:\n  schedule: '0 3 * * *'\n  default_args: {start_date: 2024-06-15, "
        f"timezone: Europe/Paris}}\n  {TASK}\n",
    )
    start = dags["g"].get_task("a").start_date
    assert start == dt.datetime(2024, 6, 14, 22, tzinfo=dt.UTC)
    assert cron_zone(dags["g"]) == "Europe/Paris"


def test_seconds_that_dag_factory_ignores_stay_ignored(tmp_path: Path) -> None:
    dags, notes = imported(
        tmp_path,
        "g:\n  dagrun_timeout_sec: 600\n  default_args: {retry_delay_sec: 300}\n"
        f"  tasks: {{a: {{operator: {EMPTY}, execution_timeout_secs: 5}}}}\n",
    )
    task = dags["g"].get_task("a")
    assert (dags["g"].dagrun_timeout, task.execution_timeout) == (None, None)
    assert task.retry_delay == dt.timedelta(minutes=5)
    assert sum("dag-factory ignores it since 1.0" in note for note in notes) == 3


def test_tasks_of_default(tmp_path: Path) -> None:
    listed = f"[{{task_id: z, operator: {EMPTY}}}]"
    dags, _ = imported(
        tmp_path,
        f"default: {{tasks: {listed}}}\n"
        f"g: {{tasks: [{{task_id: a, operator: {EMPTY}}}]}}\nh: {{description: x}}\n",
    )
    assert (dags["g"].task_ids, dags["h"].task_ids) == (["a"], ["z"])
    dags, _ = imported(
        tmp_path, f"default: {{tasks: {{z: {{operator: {EMPTY}}}}}}}\ng:\n  {TASK}\n"
    )
    assert sorted(dags["g"].task_ids) == ["a", "z"]


def test_groups_and_tags_of_default(tmp_path: Path) -> None:
    dags, notes = imported(
        tmp_path,
        "default: {task_groups: {tg: {}, unused: {}}, tags: [x]}\n"
        f"g: {{tags: [y], tasks: {{a: {{operator: {EMPTY}, task_group_name: tg}}}}}}\n",
    )
    assert dags["g"].task_ids == ["tg.a"]
    assert dags["g"].tags == {"y"}
    assert any("g.unused: the group was left out" in note for note in notes)


def test_params_are_plain_values(tmp_path: Path) -> None:
    dags, _ = imported(
        tmp_path,
        "g:\n  params:\n    b: {type: string, x: 1}\n    c: {default: 3}\n    d: 4\n"
        f"    e: {{__type__: airflow.sdk.Param, default: 1, type: integer}}\n  {TASK}\n",
    )
    params = dags["g"].params
    assert params["b"] == {"type": "string", "x": 1}
    assert params["c"] == {"default": 3}
    assert (params["d"], params["e"]) == (4, 1)
    assert params.get_param("e").schema == {"type": "integer"}


@pytest.mark.parametrize(
    "text",
    [f"g: {{tasks: {{no: {{operator: {EMPTY}}}}}}}\n", f"no:\n  {TASK}\n", f"1:\n  {TASK}\n"],
)
def test_names_that_are_not_text_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "old.yaml").write_text(text)
    with pytest.raises(DagError, match="a key is a word"):
        convert_file(tmp_path / "old.yaml")


def test_keys_that_dag_factory_passes_over(tmp_path: Path) -> None:
    """The form of the files that AWS's converter for serverless workflows writes."""
    dags, notes = imported(
        tmp_path,
        "g:\n  dag_id: g\n  labels: [x]\n  vars: {a: 1}\n  default_args:\n    foo: 1\n"
        "    schedule_interval: x\n    retry_exponential_backoff: false\n  schedule: null\n"
        f"  tasks:\n    a: {{operator: {EMPTY}, task_id: a, retry_exponential_backoff: false}}\n",
    )
    assert dags["g"].task_ids == ["a"]
    assert [note.split(":")[1].split("'")[1] for note in notes] == [
        "labels",
        "vars",
        "schedule_interval",
        "foo",
    ] or {note.split("'")[1] for note in notes} == {"labels", "vars", "schedule_interval", "foo"}


def test_old_operators_and_decorators(tmp_path: Path) -> None:
    dags, _ = imported(
        tmp_path,
        "g:\n  tasks:\n    a: {operator: airflow.operators.dummy_operator.DummyOperator}\n"
        "    b:\n      decorator: airflow.providers.standard.decorators.short_circuit."
        "short_circuit_task\n      python_callable: os.path.basename\n      p: x\n"
        "    c:\n      decorator: airflow.sdk.task\n      python_callable: os.path.basename\n"
        "      p: x\n      templates_dict: {a: b}\n",
    )
    tasks = {task.task_id: task for task in dags["g"].tasks}
    assert tasks["a"].task_type == "EmptyOperator"
    assert tasks["b"].task_type == "_ShortCircuitDecoratedOperator"
    decorated: Any = tasks["c"]
    assert decorated.templates_dict == {"a": "b"}
    assert decorated.op_kwargs == {"p": "x"}


DECORATED = """
g:
  tasks:
    a:
      decorator: airflow.providers.docker.decorators.docker.docker_task
      python_callable: {function}
      image: python:3
      p: x
"""


def test_the_arguments_of_a_decorator_that_is_not_installed(tmp_path: Path) -> None:
    file = tmp_path / "old.yaml"
    file.write_text(DECORATED.format(function="os.path.basename"), encoding="utf-8")
    made = convert_file(file)
    assert not made.notes
    assert yaml.safe_load(made.to_yaml())["dags"]["g"]["tasks"]["a"] == {
        "callable": "os.path.basename",
        "decorator": "docker",
        "image": "python:3",
        "arguments": {"p": "x"},
    }


@pytest.mark.parametrize("function", ["nowhere.function", "subprocess.run"])
def test_arguments_that_cannot_be_distinguished_are_noted(tmp_path: Path, function: str) -> None:
    file = tmp_path / "old.yaml"
    file.write_text(DECORATED.format(function=function), encoding="utf-8")
    [note] = convert_file(file).notes
    assert "@task.docker" in note


@pytest.mark.parametrize(
    ("written", "date"),
    [
        ("'2024/01/05'", dt.datetime(2024, 1, 5, tzinfo=dt.UTC)),
        ("'2024'", dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
        ("'2024-032'", dt.datetime(2024, 2, 1, tzinfo=dt.UTC)),
        ("'2024-01-05 06:30'", dt.datetime(2024, 1, 5, 6, 30, tzinfo=dt.UTC)),
    ],
)
def test_dates(tmp_path: Path, written: str, date: dt.datetime) -> None:
    dags, _ = imported(tmp_path, f"g:\n  start_date: {written}\n  {TASK}\n")
    assert dags["g"].start_date == date


def test_empty_schedules(tmp_path: Path) -> None:
    dags, _ = imported(
        tmp_path, f"g:\n  schedule: ''\n  {TASK}\nh:\n  schedule: [a, null, '']\n  {TASK}\n"
    )
    assert dags["g"].schedule is None
    schedule: Any = dags["h"].schedule
    assert [asset.name for asset in schedule.objects] == ["a"]


def test_a_plus_in_an_operators_argument_is_text(tmp_path: Path) -> None:
    dags, _ = imported(
        tmp_path,
        f"g:\n  tasks:\n    b: {{operator: {EMPTY}}}\n    a:\n      operator: {PYTHON}\n"
        "      python_callable: os.path.basename\n      op_kwargs: {p: '+b'}\n",
    )
    own: Any = dags["g"].get_task("a")
    assert own.op_kwargs == {"p": "+b"}
    assert not own.upstream_task_ids


def test_comments_and_other_programs_files(tmp_path: Path) -> None:
    _, notes = imported(tmp_path, f"# mine\ng:\n  {TASK}\n")
    assert "1 lines have comments, which are not kept" in notes
    (tmp_path / "compose.yaml").write_text("services: {web: {image: x}}\nvolumes: {data: {}}\n")
    (tmp_path / "compose2.yaml").write_text("services: {web: {image: x}}\n")
    with pytest.raises(DagError, match="this is not a file of dag-factory"):
        convert_file(tmp_path / "compose2.yaml")
