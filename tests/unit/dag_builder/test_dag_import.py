"""What `dag-builder import` makes of the forms that dag-factory 1.1.0 reads."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dag_builder.cli.main import main
from dag_builder.dag_factory.convert import Converted, convert_file
from dag_builder.dag_factory.text import dump
from dag_builder.testing.load import load
from dag_builder.yaml.source import read_text

from dag_builder import DagError

EMPTY = "operator: airflow.operators.empty.EmptyOperator"


def converted(tmp_path: Path, text: str) -> Converted:
    file = tmp_path / "old.yaml"
    file.write_text(text, encoding="utf-8")
    return convert_file(file)


@pytest.fixture
def checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of functions beside the file."""
    file = tmp_path / "checks_of_old.py"
    file.write_text("def check(value=0): return value > 3\ndef doc(word): return f'# {word}'\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return file


def task_of(tmp_path: Path, converted: Converted) -> Any:
    """The task 'x' of the DAG 'sales' that our builder makes of it."""
    file = tmp_path / "new.yaml"
    file.write_text(converted.to_yaml(), encoding="utf-8")
    found = load([file])
    assert not found.errors
    return found.dags["sales"].get_task("x")


SQL = """
sales:
  tasks:
    x:
      operator: airflow.providers.common.sql.sensors.sql.SqlSensor
      conn_id: warehouse
      sql: SELECT 1
"""


def test_checks_of_an_sql_sensor(tmp_path: Path, checks: Path) -> None:
    made = converted(
        tmp_path,
        f"{SQL}      success_check_name: check\n      success_check_file: {checks}\n"
        "      failure_check_lambda: 'lambda value: len(str(value)) > 1'\n",
    )
    task = task_of(tmp_path, made)
    assert [task.success(3), task.success(4)] == [False, True]
    assert [task.failure(9), task.failure(10)] == [False, True]
    assert any("sales.x: 'failure_check_lambda' stays a lambda" in note for note in made.notes)


def test_a_function_of_a_file_goes_before_a_lambda(tmp_path: Path, checks: Path) -> None:
    made = converted(
        tmp_path,
        f"{SQL}      success_check_lambda: 'lambda value: 1'\n"
        f"      success_check_name: check\n      success_check_file: {checks}\n",
    )
    assert task_of(tmp_path, made).success(4) is True
    assert any("'success_check_lambda' was left out" in note for note in made.notes)


def test_the_check_of_a_response(tmp_path: Path, checks: Path) -> None:
    http = "operator: airflow.providers.http.sensors.http.HttpSensor"
    made = converted(
        tmp_path,
        f"sales:\n  tasks:\n    a: {{{http}, response_check_lambda: 'lambda r: r.ok'}}\n"
        f"    b: {{{http}, response_check_name: check, response_check_file: {checks}}}\n",
    )
    tasks = made.document["dags"]["sales"]["tasks"]
    assert tasks["a"]["response_check"] == {
        "$object": "builtins.eval",
        "$args": ["lambda r: r.ok", {}],
    }
    assert tasks["b"]["response_check"] == {"$import": "checks_of_old.check"}


def test_documentation_by_a_function(tmp_path: Path, checks: Path) -> None:
    made = converted(
        tmp_path,
        f"sales:\n  doc_md_python_callable_name: doc\n  doc_md_python_callable_file: {checks}\n"
        f"  doc_md_python_arguments: {{word: Sales}}\n  tasks: {{x: {{{EMPTY}}}}}\n",
    )
    assert task_of(tmp_path, made).dag.doc_md == "# Sales"


def test_a_name_by_a_tag(tmp_path: Path, checks: Path) -> None:
    assert checks.exists()
    made = converted(
        tmp_path,
        "sales:\n  tasks:\n    x:\n      operator: airflow.operators.python.PythonOperator\n"
        "      python_callable: !!python/name:checks_of_old.check\n"
        "    y:\n      decorator: airflow.decorators.task\n"
        "      python_callable: !!python/name:checks_of_old.check ''\n",
    )
    assert task_of(tmp_path, made).python_callable(4) is True
    assert made.document["dags"]["sales"]["tasks"]["y"] == {"callable": "checks_of_old.check"}


@pytest.mark.parametrize(
    ("word", "meant"), [("no", False), ("Yes", True), ("on", True), ("OFF", False)]
)
def test_the_booleans_of_yaml_1_1(word: str, meant: bool, tmp_path: Path) -> None:  # noqa: FBT001
    made = converted(tmp_path, f"sales: {{catchup: {word}, tasks: {{x: {{{EMPTY}}}}}}}")
    assert made.document["dags"]["sales"]["catchup"] is meant
    assert task_of(tmp_path, made).dag.catchup is meant


@pytest.mark.parametrize("bare", ["0o10", "1e3", "010", "1_000", "12:30", "no", "'no'", "2.5", "~"])
def test_our_yaml_has_what_the_old_one_had(bare: str) -> None:
    """Words that are text in one version of YAML, and none in the other."""
    value = yaml.load(bare, yaml.FullLoader)  # noqa: S506 - as dag-factory does
    assert read_text(dump({"a": value}), "new.yaml", "new").value == {"a": value}


def test_dates(tmp_path: Path) -> None:
    made = converted(
        tmp_path,
        "sales:\n  start_date: 2026-01-01 00:00:00+02:00\n  default_args: {end_date: 2027-01-01}\n"
        f"  tasks: {{x: {{{EMPTY}, doc: {{$day: 2026-02-03}}}}}}\n",
    )
    dag = made.document["dags"]["sales"]
    assert (dag["start_date"], dag["default_args"]) == (
        "2026-01-01 00:00:00",
        {"end_date": "2027-01-01"},
    )
    assert any("dag-factory took the DAG's time zone" in note for note in made.notes)
    day = {"$object": "datetime.date.fromisoformat", "$args": ["2026-02-03"]}
    assert dag["tasks"]["x"]["doc"] == {"$$day": day}


def test_variables_of_the_environment_are_reported_with_their_place(tmp_path: Path) -> None:
    made = converted(
        tmp_path,
        "sales:\n  tasks:\n    x:\n      operator: airflow.operators.bash.BashOperator\n"
        "      bash_command: echo ${TABLE} $HOME $1 $(date)\n# $NOTHING\n",
    )
    note, comments = made.notes
    assert note.startswith("sales.tasks.x.bash_command (line 5): ${TABLE}, $HOME stays as it is")
    assert comments == "1 lines have comments, which are not kept"


def test_what_would_differ_is_reported(tmp_path: Path) -> None:
    made = converted(
        tmp_path,
        "sales:\n  fail_fast: true\n  user_defined_macros: {size: builtins.len}\n"
        "  task_groups: {g: {tooltip: a, add_suffix_on_collision: true}}\n  tasks:\n"
        "    x: {operator: airflow.providers.http.operators.http.HttpOperator,\n"
        "        headers: {Content-Type: application/json}, data: {a: 1}, task_group_name: g,\n"
        "        variables_as_arguments: [{variable: where, attribute: endpoint}]}\n"
        "task_groups: {}\n",
    )
    dag = made.document["dags"]["sales"]
    assert dag["user_defined_macros"] == {"size": {"$import": "builtins.len"}}
    assert dag["tasks"]["g"]["tasks"]["x"]["data"] == '{"a": 1}'
    for words in (
        "sales: 'fail_fast' takes effect from now on",
        "sales.g: 'add_suffix_on_collision' was left out",
        "sales.x: 'data' is text in JSON now",
        "sales.x: 'endpoint' is a template of the variable now",
        "task_groups: left out",
    ):
        assert any(words in note for note in made.notes), words


WRONG = [
    ("- a", "a file of dag-factory is a mapping of DAGs"),
    ("", "a file of dag-factory is a mapping of DAGs"),
    ("sales: {default_args: abc}", "sales.default_args (FILE, line 1, column 23)"),
    ("sales: {tasks: [{operator: x}]}", "its name under 'task_id'"),
    ("sales: {tasks: [{task_id: a}, {task_id: a}]}", "'a' is there twice"),
    ("sales: {tasks: abc}", "'tasks' are a mapping or a list"),
    ("sales: {tasks: {x: abc}}", "sales.tasks.x (FILE, line 1, column 20)"),
    ("sales: {tasks: {x: {dependencies: a}}}", "this must be a list"),
    ("sales: {tasks: {x: {dependencies: [[a]]}}}", "this is not the name of a task"),
    ("sales: {tasks: {x: {task_group_name: g}}}", "there is no task group 'g'"),
    ("sales: {tasks: {x: {variables_as_arguments: [a]}}}", "this does not name a variable"),
    (
        "sales: {tasks: {x: {variables_as_arguments: [{variable: a, attribute: []}]}}}",
        "this does not name a variable",
    ),
    ("sales: {task_groups: {g: {default_args: 1}}}", "this must be a mapping"),
    ("sales: {task_groups: [{tooltip: a}]}", "its name under 'group_name'"),
    ("sales: {task_groups: {g: {parent_group_name: g}}}", "in a cycle: g in g"),
    ("sales: {task_groups: {g: {parent_group_name: []}}}", "there is no task group []"),
    ("sales: {on: 1}", "bare yes, no, on and off are booleans in YAML 1.1"),
    ("sales: {default_args: {1: 2}}", "a key is a word"),
    ("sales: {tasks: {x: {1: 2}}}", "a key is a word"),
    ("sales: {a: !!python/object/apply:os.getcwd []}", "cannot be read"),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[text for text, _ in WRONG])
def test_what_cannot_be_converted_is_reported(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "old.yaml"
    file.write_text(text)
    assert main(["import", str(file)]) == 1
    printed = capsys.readouterr().err
    assert words.replace("FILE", str(file)) in printed
    assert "this is not valid YAML" not in printed


def test_a_join_of_no_list_stays(tmp_path: Path) -> None:
    made = converted(
        tmp_path, "sales: {params: {__join__: 1}}\nb: {description: {__join__: [a, b]}}"
    )
    assert made.document["dags"] == {
        "sales": {"params": {"__join__": 1}},
        "b": {"description": "ab"},
    }


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(DagError) as caught:
        converted(tmp_path, "sales: {default_args: abc, tasks: [{operator: x}, 5]}\nother: 1\n")
    assert [problem.where for problem in caught.value.problems] == [
        "sales.default_args",
        "sales.tasks[0]",
        "sales.tasks[1]",
        "other",
    ]
    assert all(problem.position for problem in caught.value.problems)


def test_nothing_that_a_file_names_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A foreign file is code as soon as it is built, and only then."""
    (tmp_path / "named_by_a_file.py").write_text("raise SystemExit('it was imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    old = tmp_path / "old.yaml"
    old.write_text(
        "a:\n  default_args: {start_date: 2024-01-01}\n"
        "  tasks:\n    t: {operator: named_by_a_file.Operator}\n"
    )
    assert main(["import", str(old), "-o", str(tmp_path / "new.yaml")]) == 0
    assert "named_by_a_file.Operator" in (tmp_path / "new.yaml").read_text()
    assert "named_by_a_file" not in sys.modules
