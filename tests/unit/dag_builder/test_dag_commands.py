"""The command line, in process; and `run` and the pytest plugin as programs."""

import datetime as dt
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from dag_builder.builder import dags_of_document
from dag_builder.cli.main import main, make_parser
from dag_builder.dag_factory.convert import convert
from dag_builder.fields import (
    DAG_FIELDS,
    DAG_OWN_FIELDS,
    GROUP_FIELDS,
    TASK_FIELDS,
    TASK_OWN_FIELDS,
)
from dag_builder.read.imports import import_object
from dag_builder.show.graph import DrawingError, draw
from dag_builder.show.text import dot, mermaid, tree
from dag_builder.testing import assert_dags_are_sound
from dag_builder.yaml.documents import read_string
from dag_builder.yaml.schema import json_schema
from dag_builder.yaml.source import read_text

from dag_builder import dag_of

GOOD = "# airflow\nfrom dag_builder import build_dag\nbuild_dag('{id}', {{'tasks': {tasks}}})\n"
TASKS = "{'a': {'operator': 'empty'}, 'b': {'operator': 'empty', 'upstream': 'a'}}"
Captured = pytest.CaptureFixture[str]


def write(folder: Path, name: str, tasks: str = TASKS) -> Path:
    file = folder / f"{name}.py"
    file.write_text(GOOD.format(id=name, tasks=tasks), encoding="utf-8")
    return file


def test_check_of_valid_dags(dag_folder: Path, capsys: Captured) -> None:
    write(dag_folder, "sales")
    assert main(["check", str(dag_folder)]) == 0
    assert capsys.readouterr().out == "1 valid DAG (2 tasks)\n"
    assert main(["check", "-q", str(dag_folder)]) == 0
    assert capsys.readouterr().out == ""


def test_check_of_broken_dags(dag_folder: Path, capsys: Captured) -> None:
    file = write(dag_folder, "sales", "{'a': {'operator': 'emtpy'}}")
    assert main(["check", str(dag_folder)]) == 1
    printed = capsys.readouterr().err
    assert f"{file}:\n1 mistake in DAG 'sales'" in printed
    assert "did you mean 'empty'?" in printed
    assert main(["check", "--format", "json", str(file)]) == 1
    result = json.loads(capsys.readouterr().out)
    assert list(result["errors"]) == [str(file)]
    assert main(["check", "--format", "github", str(file)]) == 1
    printed = capsys.readouterr().out
    line = (
        "title=sales.tasks.a.operator::there is not an operator 'emtpy'%0Agiven: 'emtpy'%0Avalid: "
    )
    assert printed.startswith(f"::error file={file},line=3,{line}")
    assert printed.endswith("%0Adid you mean 'empty'?\n")


def test_mistakes_for_programs_have_their_places(
    dag_folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(dag_folder)
    (dag_folder / "load.py").write_text(
        "# airflow\nfrom dag_builder import build_yaml\n\nbuild_yaml('yaml')\n"
    )
    (dag_folder / "yaml").mkdir()
    for name in ("one", "two"):
        (dag_folder / "yaml" / f"{name}.yaml").write_text(
            f"dag_id: {name}\ntasks:\n  a: {{operator: emtpy}}\n  b: {{operator: bash}}\n"
        )
    (dag_folder / "broken.py").write_text("# airflow dag\n\nimport does_not_exist\n")
    assert main(["check", "--format", "json", "."]) == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert {(one["file"], one["line"], one.get("path")) for one in problems} == {
        *((str(dag_folder / f"yaml/{n}.yaml"), 3, f"{n}.tasks.a.operator") for n in ("one", "two")),
        *((str(dag_folder / f"yaml/{n}.yaml"), 4, f"{n}.tasks.b") for n in ("one", "two")),
        ("broken.py", 3, None),
    }
    assert {one.get("suggestion") for one in problems} == {"empty", None}
    assert main(["check", "--format", "github", "."]) == 1
    printed = capsys.readouterr().out
    assert "::error file=yaml/one.yaml,line=3,col=17,title=one.tasks.a.operator::" in printed
    assert "::error file=broken.py,line=3::" in printed


@pytest.mark.parametrize("relative", [False, True])
def test_check_reports_each_broken_file_once(
    dag_folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, *, relative: bool
) -> None:
    """However the folder is named, as in `dag-builder check dags`."""
    monkeypatch.chdir(dag_folder.parent)
    given = Path(dag_folder.name) if relative else dag_folder
    for name in ("one", "two"):
        (dag_folder / f"{name}.py").write_text(GOOD.format(id="same", tasks=TASKS))
    write(dag_folder, "wrong", "{'a': {'operator': 'emtpy'}}")
    (dag_folder / "broken.py").write_text("# airflow dag\nimport does_not_exist_anywhere\n")
    assert main(["check", "--format", "json", str(given)]) == 1
    errors = json.loads(capsys.readouterr().out)["errors"]
    assert "did you mean 'empty'?" in errors[str(given / "wrong.py")][0]
    assert "does_not_exist_anywhere" in errors[str(given / "broken.py")][0]
    (twice,) = errors.keys() - {str(given / "wrong.py"), str(given / "broken.py")}
    assert twice in {str(given / "one.py"), str(given / "two.py")}
    assert "also found in" in errors[twice][0]


def test_check_names_the_dag_that_cannot_be_stored(dag_folder: Path, capsys: Captured) -> None:
    file = write(dag_folder, "sales")
    file.write_text(
        f"{file.read_text()}from dag_builder import build_dag\n"
        "build_dag('unstored', {'tasks': {'a': {'operator': 'empty', 'weight_rule': object()}}})"
    )
    assert main(["check", str(dag_folder)]) == 1
    printed = capsys.readouterr()
    assert f"{file}:\nunstored\n    Airflow cannot serialize it: " in printed.err
    assert printed.out == "1 valid DAG (2 tasks), 1 file with errors\n"


def test_check_of_what_is_not_there(tmp_path: Path, capsys: Captured) -> None:
    assert main(["check", str(tmp_path / "no")]) == 1
    assert "there is no such file or folder" in capsys.readouterr().err
    assert main(["check", str(tmp_path)]) == 1
    assert "there is no DAG in it" in capsys.readouterr().err


def test_check_warns_of_a_file_that_airflow_skips(dag_folder: Path, capsys: Captured) -> None:
    file = write(dag_folder, "sales")
    file.write_text(file.read_text().replace("# airflow\n", ""))
    assert main(["check", str(dag_folder)]) == 0
    assert "safe mode skips this file" in capsys.readouterr().err


def test_check_of_yaml_with_functions(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "functions_of_sales.py").write_text("def extract(): return 1\n")
    file = tmp_path / "sales.yaml"
    file.write_text("dag_id: sales\ntasks: {extract: null}\n")
    assert main(["check", str(file), "--tasks", "functions_of_sales"]) == 0
    assert main(["check", str(file)]) == 1
    assert "task 'extract' is not defined" in capsys.readouterr().err


def test_check_of_a_folder_of_yaml_alone(dag_folder: Path, capsys: Captured) -> None:
    inner = dag_folder / "shop"
    inner.mkdir()
    (dag_folder / "defaults.yaml").write_text("default_args: {owner: data}\n")
    (inner / "sales.yaml").write_text("dag_id: sales\ntasks: {a: {operator: empty}}\n")
    assert main(["check", str(dag_folder)]) == 0
    printed = capsys.readouterr()
    assert printed.out == "1 valid DAG (1 task)\n"
    assert "none in this folder calls build_yaml" in printed.err
    (inner / "sales.yaml").write_text("dag_id: sales\ntasks: {a: {operator: emtpy}}\n")
    assert main(["check", str(dag_folder)]) == 1
    assert "did you mean 'empty'?" in capsys.readouterr().err
    (dag_folder / "yaml.py").write_text(
        "# airflow\nfrom dag_builder import build_yaml\nbuild_yaml('shop')\n"
    )
    assert main(["check", "--format", "json", str(dag_folder)]) == 1
    assert list(json.loads(capsys.readouterr().out)["errors"]) == [str(dag_folder / "yaml.py")]


NO_DAG_FILES = {
    "config.yaml": "retries: 3\n",
    "list.yaml": "- a\n",
    "empty.yml": "",
    "many.yaml": "kind: Pod\n---\nkind: Pod\n",
    "latin.yaml": "name: caf\xe9\n",
    "dag_factory.yaml": "sales: {tasks: {}}\n",
}


@pytest.mark.parametrize("command", [["check"], ["show"], ["graph", "-o", "x.dot"]])
def test_yaml_that_holds_no_dag_is_passed_over_in_a_folder(
    command: list[str], dag_folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(dag_folder.parent)
    write(dag_folder, "sales")
    for name, text in NO_DAG_FILES.items():
        (dag_folder / name).write_text(text, encoding="latin-1")
    (dag_folder / "folder.yaml").mkdir()
    assert main([*command, str(dag_folder)]) == 0
    printed = capsys.readouterr().err
    for name in NO_DAG_FILES:
        assert f"{dag_folder / name}: note: passed over" in printed
        assert main(["check", str(dag_folder / name)]) == 1
    assert [dag.dag_id for dag in assert_dags_are_sound(dag_folder)] == ["sales"]


@pytest.mark.parametrize(
    "text",
    [
        "dag_id: a\n",
        "dags: 5\n",
        "tasks: {a: {operator: empty}}\n",
        "for_each: []\n",
        "dag_id: a\ntasks: [\n",
    ],
)
def test_yaml_that_is_meant_to_hold_dags_is_checked_in_a_folder(
    text: str, dag_folder: Path, capsys: Captured
) -> None:
    file = dag_folder / "sales.yaml"
    file.write_text(text)
    assert main(["check", "--format", "json", str(dag_folder)]) == 1
    result = json.loads(capsys.readouterr().out)
    assert list(result["errors"]) == [str(file)]
    assert not result["notes"]


def test_show(dag_folder: Path, capsys: Captured) -> None:
    write(dag_folder, "sales")
    assert main(["show", str(dag_folder)]) == 0
    assert capsys.readouterr().out == (
        "sales (by hand, 2 tasks)\n└─ a [EmptyOperator]\n   └─ b [EmptyOperator]\n"
    )
    assert main(["show", str(dag_folder), "--dag", "sale"]) == 1
    assert "did you mean 'sales'?" in capsys.readouterr().err


def fan() -> Any:
    empty = {"operator": "empty"}
    return dag_of(
        "fan",
        {
            "schedule": "@daily",
            "tasks": {
                "a": empty,
                "g": {
                    "upstream": ["a"],
                    "tasks": {
                        "b": empty,
                        "c": {
                            **empty,
                            "trigger_rule": "all_done",
                            "upstream": [{"task": "b", "label": 'a "b"'}],
                        },
                    },
                },
                "d": {
                    "operator": "bash",
                    "upstream": ["a", "g"],
                    "expand": {"bash_command": ["x"]},
                },
            },
        },
    )


def test_tree_shows_each_branch_once() -> None:
    assert tree(fan()).splitlines() == [
        "fan (0 0 * * *, 4 tasks)",
        "└─ a [EmptyOperator]",
        "   ├─ d [BashOperator, mapped]",
        "   └─ g.b [EmptyOperator]",
        "      └─ g.c [EmptyOperator, all_done]",
        "         └─ d [BashOperator, mapped]",
    ]


def test_mermaid() -> None:
    assert mermaid(fan()).splitlines() == [
        "flowchart LR",
        '    t0["a"]',
        '    subgraph group_4_g["g"]',
        '        t1["b"]',
        '        t2["c"]',
        "    end",
        '    t3["d"]',
        "    t0 --> t3",
        "    t0 --> t1",
        "    t1 -- \"a 'b'\" --> t2",
        "    t2 --> t3",
    ]


def test_pictures(tmp_path: Path, capsys: Captured, dag_folder: Path) -> None:
    pytest.importorskip("pygraphviz")
    draw(fan(), tmp_path / "fan.svg")
    picture = (tmp_path / "fan.svg").read_text()
    assert picture.count('class="node"') == 4
    assert picture.count('class="edge"') == 4
    assert picture.count('class="cluster"') == 1
    draw(fan(), tmp_path / "fan.png")
    assert (tmp_path / "fan.png").read_bytes().startswith(b"\x89PNG")
    write(dag_folder, "one")
    write(dag_folder, "two")
    assert main(["graph", str(dag_folder), "-o", str(tmp_path / "all")]) == 0
    assert sorted(file.name for file in (tmp_path / "all").iterdir()) == ["one.svg", "two.svg"]
    assert main(["graph", str(dag_folder), "-o", str(tmp_path / "x.svg")]) == 1
    assert "choose one with --dag" in capsys.readouterr().err


def test_picture_without_graphviz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DrawingError, match=r"pip install 'dag-builder"):
        draw(fan(), tmp_path / "fan.svg")
    draw(fan(), tmp_path / "fan.dot")
    assert (tmp_path / "fan.dot").read_text() == dot(fan())
    with pytest.raises(DrawingError, match="there is no folder"):
        draw(fan(), tmp_path / "no" / "fan.dot")
    with pytest.raises(DrawingError, match=r"the name must end in \.svg, \.png, \.dot"):
        draw(fan(), tmp_path / "fan.gif")


@pytest.mark.parametrize("name", ["sales.py", "sales.yaml"])
def test_new_file_is_valid(name: str, dag_folder: Path, capsys: Captured) -> None:
    file = dag_folder / name
    assert main(["new", str(file)]) == 0
    assert main(["check", str(file)]) == 0
    assert "1 valid DAG (3 tasks)" in capsys.readouterr().out
    assert main(["new", str(file)]) == 1
    assert "already exists and is not changed" in capsys.readouterr().err
    assert main(["new", str(dag_folder / "x.txt")]) == 1
    assert "must end in .py or .yaml" in capsys.readouterr().err


PAGE = (Path(__file__).parents[3] / "docs" / "dags.md").read_text(encoding="utf-8")
YAML_OF_THE_PAGE = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
A = "{operator: empty}"
ACCEPTED = [
    *YAML_OF_THE_PAGE,
    f"dags: {{s: {{tasks: {{a: {A}}}}}}}\ndefaults: {{tags: [shop], default_args: {{retries: 2}}}}",
    "dag_id: sales\nextract: []\nload: [extract]\n",
    "dag_id: sales\nextract:\nload: extract\n",
    "dags:\n  sales: {extract: null, load: [{task: extract, label: rows}]}\n",
    "dag_id: sales\ntasks: {extract: null, load: {upstream: {task: extract, label: rows}}}\n",
    "dag_id: sales\ntasks: {a: {operator: BashOperator, bash_command: echo, cwd: /}}\n",
    f"dag_id: sales\nend_date: null\nschedule:\ncatchup: ~\ntasks: {{a: {A}}}\n",
    f"dag_id: sales\ndoc_md: {{$import: sales.TEXT}}\ntasks: {{a: {A}}}\n",
    f"dag_id: sales\ndagrun_timeout: {{$duration: 5m}}\ntasks: {{a: {A}}}\n",
    f"dag_id: sales\nallowed_run_types: manual\ntasks: {{a: {A}}}\n",
    (
        "dag_id: s_${n}\nfor_each: [{n: 1, rule: all_done}]\nmax_active_runs: ${n}\ntasks:\n"
        "  a: {operator: empty, trigger_rule: '${rule}', pool_slots: '${n}', queue: null}\n"
        "  ${rule}_b: {operator: empty, upstream: a}\n"
    ),
]
REFUSED = [
    f"dag_id: sales\nschedul: '@daily'\ntasks: {{a: {A}}}\n",
    "dag_id: sales\ntasks: {a: {operator: bash, bash_comand: x}}\n",
    "dag_id: sales\ntasks: {a: {operator: BashOperator, bash_command: x, bash_comand: x}}\n",
    "dag_id: sales\ntasks: {a: {operator: bahs}}\n",
    "dag_id: sales\ntasks: {a: {operator: empty, trigger_rule: all_don}}\n",
    "dag_id: sales\ntasks: {a: {operator: empty, retries: two}}\n",
    "dag_id: sales\ntasks: {}\n",
    "dag_id: sales\nschedule: '@daily'\n",
    "dag_id: sales\nschedule: '@daily'\nextract: []\n",
    "dag_id: sales\nextract: 5\n",
    "dag_id: sales\n",
    "dags: {}\n",
    "a: []\n",
]


def mistakes_of(text: str) -> list[str]:
    """The builder's problems of a file."""
    problems: list[Any] = []
    list(dags_of_document(read_string(text), "sales", problems))
    return [str(problem) for problem in problems]


@pytest.fixture
def validator(module: types.ModuleType) -> Any:
    """Of our schema; with a module of the functions that the examples name."""
    code = "TEXT = '# Sales'\ndef extract(): pass\ndef count(file, separator): pass\n"
    exec(f"{code}load = clean = files = extract", vars(module))  # noqa: S102
    import_object.cache_clear()
    jsonschema.Draft7Validator.check_schema(json_schema())
    return jsonschema.Draft7Validator(json_schema())


def value_of(text: str) -> Any:
    """As an editor reads it: YAML 1.2."""
    return read_text(text, "sales.yaml", "sales").value


@pytest.mark.parametrize("text", ACCEPTED)
def test_schema_accepts_what_the_builder_accepts(text: str, validator: Any) -> None:
    assert len(YAML_OF_THE_PAGE) >= 4
    assert not mistakes_of(text)
    assert not list(validator.iter_errors(value_of(text)))


@pytest.mark.parametrize("text", REFUSED)
def test_schema_refuses_what_the_builder_refuses(text: str, validator: Any) -> None:
    assert mistakes_of(text)
    assert list(validator.iter_errors(value_of(text)))


def test_schema_has_the_places_for_null(validator: Any) -> None:
    def of(**changed: Any) -> dict[str, Any]:
        return {"dag_id": "sales", "tasks": {"a": {"operator": "empty"}}, **changed}

    given = {f"DAG {key}": of(**{key: None}) for key in (DAG_FIELDS | DAG_OWN_FIELDS)}
    for key in TASK_FIELDS | TASK_OWN_FIELDS:
        given[f"task {key}"] = of(tasks={"a": {"operator": "empty", key: None}})
        of_function = {"callable": "sales.extract", key: None}
        if key not in {"operator", "python", "partial"}:
            given[f"function {key}"] = of(tasks={"a": of_function})
    for key in GROUP_FIELDS:
        given[f"group {key}"] = of(tasks={"g": {"tasks": {"a": {"operator": "empty"}}, key: None}})
    for key in ("callable", "decorator", "python", "arguments"):  # no operator's, null or not
        del given[f"task {key}"]
    for what, document in given.items():
        printed = mistakes_of(json.dumps(document))
        assert bool(printed) == bool(list(validator.iter_errors(document))), (what, printed)


def test_schema_of_a_new_file(dag_folder: Path, capsys: Captured, validator: Any) -> None:
    assert main(["new", str(dag_folder / "sales.yaml")]) == 0
    assert not list(validator.iter_errors(value_of((dag_folder / "sales.yaml").read_text())))
    capsys.readouterr()
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema()


def test_help_of_every_command(capsys: Captured) -> None:
    for command in ("check", "show", "graph", "schema", "new", "import", "run"):
        with pytest.raises(SystemExit) as stop:
            make_parser().parse_args([command, "--help"])
        assert stop.value.code == 0
        assert f"dag-builder {command}" in capsys.readouterr().out


DAG_FACTORY = """
default:
  default_args: {owner: data, retries: 2, retry_delay_sec: 300}
  start_date: '2026-01-01'
sales:
  schedule: "0 6 * * *"
  concurrency: 4
  default_view: graph
  task_groups:
    - group_name: load
      tooltip: Into the warehouse
      dependencies: [extract]
    - group_name: table
      parent_group_name: load
  tasks:
    - task_id: extract
      operator: airflow.operators.bash_operator.BashOperator
      bash_command: echo 1
      execution_timeout: {__type__: datetime.timedelta, minutes: 5}
    - task_id: copy
      operator: airflow.operators.empty.EmptyOperator
      task_group_name: table
    - task_id: index
      operator: airflow.operators.empty.EmptyOperator
      task_group_name: table
      dependencies: [copy]
    - task_id: numbers
      decorator: airflow.sdk.definitions.decorators.task
      python_callable: old_sales.numbers
    - task_id: use
      decorator: airflow.decorators.task
      python_callable: old_sales.use
      number: +numbers
      dependencies: [load]
    - task_id: each
      operator: airflow.operators.bash.BashOperator
      expand: {bash_command: numbers.output}
      partial: {cwd: /tmp}
by_assets:
  schedule: {datasets: "(s3://a/b & s3://c/d) | other"}
  tasks:
    x:
      operator: airflow.operators.python.PythonOperator
      python_callable_name: run
      python_callable_file: /code/old.py
"""


def test_import_of_dag_factory(tmp_path: Path, capsys: Captured) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(DAG_FACTORY)
    (tmp_path / "old_sales.py").write_text(
        "def numbers(): return ['1']\ndef use(number): print(number)\n"
    )
    (tmp_path / "old.py").write_text("def run(): print(1)\n")
    assert main(["import", str(old), "-o", str(new)]) == 0
    notes = capsys.readouterr().err
    assert "'default_view' was left out" in notes
    assert "/code must be on Python's path" in notes
    assert new.read_text().startswith("# TODO: ")
    assert main(["check", str(new)]) == 0
    from dag_builder.testing.load import load

    dags = load([new]).dags
    sales = dags["sales"]
    assert sales.max_active_tasks == 4
    assert {
        (item.task_id, item.task_type, tuple(sorted(item.upstream_task_ids)))
        for item in sales.tasks
    } == {
        ("extract", "BashOperator", ()),
        ("load.table.copy", "EmptyOperator", ("extract",)),
        ("load.table.index", "EmptyOperator", ("load.table.copy",)),
        ("numbers", "_PythonDecoratedOperator", ()),
        ("use", "_PythonDecoratedOperator", ("load.table.index", "numbers")),
        ("each", "BashOperator", ("numbers",)),
    }
    assert sales.get_task("extract").execution_timeout.total_seconds() == 300
    assert sales.get_task("extract").retry_delay.total_seconds() == 300
    assert sales.get_task("extract").owner == "data"
    assert main(["import", str(old), "-o", str(new)]) == 1


def test_import_understands_conditions() -> None:
    document = convert(yaml.safe_load(DAG_FACTORY)).document
    assert document["dags"]["by_assets"]["schedule"] == {
        "any": [{"all": ["s3://a/b", "s3://c/d"]}, "other"]
    }


def test_import_makes_what_moves_definite_and_leaves_out_what_airflow_ignored() -> None:
    converted = convert(
        yaml.safe_load("""
moving:
  default_args: {start_date: 2 days, catchup: false, timezone: Europe/Paris, owner: me}
  on_retry_callback: some.function
  schedule:
    timetable: {__type__: airflow.timetables.trigger.CronTriggerTimetable, cron: 0 1 * * 3}
    datasets: [s3://a/b]
  tasks:
    x:
      operator: airflow.operators.empty.EmptyOperator
      outlets: {file: f.yml, datasets: [one, two]}
    y:
      operator: airflow.operators.empty.EmptyOperator
      outlets: [{__type__: airflow.datasets.DatasetAlias, name: z}]
""")
    )
    dag = converted.document["dags"]["moving"]
    start = dt.datetime.fromisoformat(dag["default_args"].pop("start_date"))
    today = dt.datetime.now(tz=dt.UTC).replace(tzinfo=None)
    assert dt.timedelta(days=2) <= today - start < dt.timedelta(days=3, minutes=1)
    assert dag == {
        "timezone": "Europe/Paris",
        "default_args": {"owner": "me"},
        "schedule": {"assets": ["s3://a/b"], "cron": "0 1 * * 3"},
        "tasks": {
            "x": {"operator": "empty", "outlets": ["one", "two"]},
            "y": {
                "operator": "empty",
                "outlets": [{"$object": "airflow.sdk.AssetAlias", "name": "z"}],
            },
        },
    }
    for words in (
        "which is relative to today",
        "Airflow ignored it",
        "a DAG has none",
        "of f.yml their URIs",
    ):
        assert any(words in note for note in converted.notes), words
    assert dag_of("moving", dag | {"start_date": "2026-01-01"}).timezone.name == "Europe/Paris"


def test_import_of_what_is_not_a_dag(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "x.yaml").write_text("datasets: [{name: a}]")
    assert main(["import", str(tmp_path / "x.yaml")]) == 1
    assert "this is not a DAG of dag-factory" in capsys.readouterr().err


def test_import_of_no_yaml(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "x.yaml").write_text("a: [")
    assert main(["import", str(tmp_path / "x.yaml")]) == 1
    assert "this is not valid YAML" in capsys.readouterr().err


# The integrity test


def test_valid_folder(dag_folder: Path) -> None:
    write(dag_folder, "sales")
    assert [dag.dag_id for dag in assert_dags_are_sound(dag_folder)] == ["sales"]


UNSOUND = [
    ("build_dag('x', {'tasks': {'a': {'operator': 'emtpy'}}})", "did you mean 'empty'?"),
    ("raise RuntimeError('boom')", "boom"),
    ("", "found 0 DAGs instead of 1 or more"),
    ("from airflow.sdk import DAG\nd = DAG('x')", "x: there is no task in it"),
    (
        (
            "import time\nbuild_dag('x', {'description': str(time.time()),"
            " 'tasks': {'a': {'operator': 'empty'}}})"
        ),
        "differs when it is parsed again at dag.dag.description",
    ),
    (
        (
            "from airflow.sdk import DAG\n"
            "from airflow.providers.standard.operators.empty import EmptyOperator\n"
            "with DAG('x'): EmptyOperator(task_id='a', executor_config={'a': object()})"
        ),
        "differs when it is parsed again",
    ),
]


@pytest.mark.parametrize(("code", "fault"), UNSOUND, ids=[fault for _, fault in UNSOUND])
def test_unsound_folder(code: str, fault: str, dag_folder: Path) -> None:
    (dag_folder / "x.py").write_text(f"# airflow\nfrom dag_builder import build_dag\n{code}\n")
    with pytest.raises(AssertionError) as caught:
        assert_dags_are_sound(dag_folder)
    assert fault in str(caught.value)


def test_examples_are_valid() -> None:
    dags = assert_dags_are_sound(Path(__file__).parents[3] / "dags", min_dags=7)
    for dag in dags:
        assert dag.doc_md or dag.description, dag.dag_id


@pytest.mark.contract
def test_pytest_plugin(dag_folder: Path) -> None:
    write(dag_folder, "sales")
    write(dag_folder, "broken", "{'a': {'operator': 'emtpy'}}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--dags", str(dag_folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=dag_folder.parent,
        timeout=120,
    )
    assert done.returncode == 1, done.stdout
    assert "did you mean 'empty'?" in done.stdout


@pytest.mark.contract
def test_run_of_a_new_file(dag_folder: Path) -> None:
    beside = dag_folder / "beside.py"
    beside.write_text("# airflow dag\nopen(__file__ + '.read', 'w').close()\n")
    file = dag_folder / "sales.py"
    assert main(["new", str(file)]) == 0
    done = _run(file, "--date", "2026-02-03")
    assert done.returncode == 0, done.stderr
    lines = [line.split()[:2] for line in done.stdout.splitlines()[-4:]]
    assert lines == [
        ["extract", "success"],
        ["clean", "success"],
        ["load", "success"],
        ["sales:", "success"],
    ]
    assert "2026-02-03: [1, 2, 3]" in done.stdout
    assert [file.name for file in dag_folder.glob("*.read")] == []


@pytest.mark.contract
def test_run_of_a_new_yaml_file_to_which_a_failing_task_is_added(dag_folder: Path) -> None:
    """One run for both: each run imports Airflow in a process of its own."""
    (dag_folder / "failing.py").write_text("def fail(): raise RuntimeError('boom')\n")
    beside = dag_folder / "beside.py"
    beside.write_text("# airflow dag\nopen(__file__ + '.read', 'w').close()\n")
    file = dag_folder / "sales.yaml"
    assert main(["new", str(file)]) == 0
    with file.open("a") as tasks:
        tasks.write(
            "  fail: {callable: failing.fail, upstream: [load], retries: 0}\n"
            "  after: {operator: empty, upstream: [fail]}\n"
        )
    done = _run(file, "-q")
    assert done.returncode == 1
    assert "boom" in done.stdout + done.stderr
    assert {tuple(line.split()[:2]) for line in done.stdout.splitlines()[-6:]} == {
        ("extract", "success"),
        ("clean", "success"),
        ("load", "success"),
        ("fail", "failed"),
        ("after", "upstream_failed"),
        ("sales:", "failed"),
    }
    assert done.stdout.splitlines()[-1] == "sales: failed"
    assert [file.name for file in dag_folder.glob("*.read")] == []


def _run(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dag_builder", "run", str(file), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "no.py"], "there is no file no.py"),
        (["run", "no.py", "--conf", "["], "--conf is not valid JSON"),
        (["run", "no.py", "--conf", "[]"], "must be a JSON object"),
        (["run", __file__, "--date", "notadate"], "--date: 'notadate': "),
        (["schema", "-o", "no/such/schema.json"], "there is no folder no/such"),
        (["new", "x.py", "--dag", "a b"], "'a b' is not a valid name for a DAG"),
    ],
)
def test_what_a_command_cannot_do_is_reported(
    arguments: list[str], words: str, capsys: Captured
) -> None:
    assert main(arguments) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "offered"), [("dag-builder ch", {"check "}), ("dag-builder s", {"show", "schema"})]
)
def test_completion(typed: str, offered: set[str], tmp_path: Path) -> None:
    """Complete as the shell does: what was typed in the environment, the answer in a file."""
    answer = tmp_path / "answer"
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": typed,
        "COMP_POINT": str(len(typed)),
        "_ARGCOMPLETE_IFS": "\n",
    }
    program = Path(sys.executable).with_name("dag-builder")
    subprocess.run([str(program)], env=os.environ | asked, check=True, timeout=60)
    assert set(answer.read_text().split("\n")) == offered
