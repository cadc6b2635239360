"""DAG files as Airflow's own DagBag reads them: what is registered, and what is shown as broken."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from dag_builder import DagError, build_dag, build_dags, dag_of
from tests.unit.dag_builder.parse_again import stored_twice

HEAD = "# airflow\nfrom dag_builder import build_dag, build_dags, build_yaml, dag_of\n"
GOOD = '{"tasks": {"a": {"operator": "empty"}}}'
BAD = '{"tasks": {"a": {"operator": "emtpy"}}}'


def bag_of(folder: Path, **files: str) -> DagBag:
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        head = HEAD if suffix == "py" else ""
        (folder / f"{stem}.{suffix}").write_text(head + text, encoding="utf-8")
    return DagBag(str(folder))


def test_one_line_registers_a_dag(dag_folder: Path) -> None:
    bag = bag_of(dag_folder, sales_py=f"build_dag('sales', {GOOD})")
    assert list(bag.dags) == ["sales"]
    assert not bag.import_errors
    assert bag.dags["sales"].fileloc == str(dag_folder / "sales.py")


def test_short_form_takes_functions_of_its_own_file(dag_folder: Path) -> None:
    code = "def extract(): return 1\ndef load(extract): print(extract)\n"
    bag = bag_of(dag_folder, s_py=f"{code}build_dag('s', {{'extract': [], 'load': ['extract']}})")
    assert bag.dags["s"].get_task("load").upstream_task_ids == {"extract"}


def test_broken_dag_is_an_import_error_and_others_stay(dag_folder: Path) -> None:
    bag = bag_of(
        dag_folder,
        mixed_py=f"build_dag('one', {GOOD})\nbuild_dag('two', {BAD})\nbuild_dag('three', {BAD})\n"
        f"build_dag('four', {GOOD})",
        other_py=f"build_dag('five', {GOOD})",
    )
    assert sorted(bag.dags) == ["five", "four", "one"]
    [(file, text)] = bag.import_errors.items()
    assert file == str(dag_folder / "mixed.py")
    assert text.startswith("DagError: 2 mistakes in DAGs 'two', 'three'")
    assert "two.tasks.a.operator" in text
    assert "three.tasks.a.operator" in text
    assert "did you mean 'empty'?" in text


def test_mended_file_has_no_import_error(dag_folder: Path) -> None:
    bag = bag_of(dag_folder, x_py=f"build_dag('x', {BAD})")
    assert bag.import_errors
    # Longer, as Python compares a file with its bytecode by the second and the size.
    assert not bag_of(dag_folder, x_py=f"build_dag('x', {GOOD})  # fixed").import_errors


def test_broken_dag_that_is_used_raises_the_reason(dag_folder: Path) -> None:
    bag = bag_of(dag_folder, x_py=f"build_dag('x', {BAD}).get_task('a')")
    [text] = bag.import_errors.values()
    assert "x.tasks.a.operator" in text


def test_two_dags_of_one_id_are_an_import_error(dag_folder: Path) -> None:
    bag = bag_of(dag_folder, x_py=f"build_dag('x', {GOOD})\nbuild_dag('x', {GOOD})")
    [text] = bag.import_errors.values()
    assert "this file has two DAGs with the id 'x'" in text


def test_dag_of_a_helper_module_is_registered(dag_folder: Path) -> None:
    """build_dag called in a function of another module, as projects with many DAGs do."""
    (dag_folder / "factory_of_dags.py").write_text(
        f"from dag_builder import build_dag\ndef make(name): return build_dag(name, {GOOD})\n"
    )
    sys.path.insert(0, str(dag_folder))
    try:
        bag = bag_of(dag_folder, x_py="from factory_of_dags import make\nmake('x')\nmake('y')")
    finally:
        sys.path.remove(str(dag_folder))
    assert sorted(bag.dags) == ["x", "y"]
    assert not bag.import_errors


def test_yaml_file_and_folder(dag_folder: Path) -> None:
    nested = dag_folder / "yaml" / "deep"
    nested.mkdir(parents=True)
    (dag_folder / "yaml" / "defaults.yaml").write_text("default_args: {owner: shop, retries: 1}\n")
    (nested / "defaults.yaml").write_text("default_args: {retries: 2}\ntags: [deep]\n")
    (dag_folder / "yaml" / "a.yaml").write_text("dag_id: a\ntasks: {t: {operator: empty}}\n")
    (nested / "b.yml").write_text("dag_id: b\ntags: [own]\ntasks: {t: {operator: empty}}\n")
    (nested / "broken.yaml").write_text("dag_id: c\ntasks:\n  t: {operator: emtpy}\n")
    bag = bag_of(dag_folder, x_py="build_yaml('yaml')")
    assert sorted(bag.dags) == ["a", "b"]
    a, b = bag.dags["a"], bag.dags["b"]
    assert (a.get_task("t").owner, a.get_task("t").retries) == ("shop", 1)
    assert (b.get_task("t").owner, b.get_task("t").retries) == ("shop", 2)
    assert b.tags == {"deep", "own"}
    [text] = bag.import_errors.values()
    assert f"c.tasks.t.operator ({nested / 'broken.yaml'}, line 3, column 17)" in text


def test_yaml_takes_functions_of_its_python_file(dag_folder: Path) -> None:
    (dag_folder / "x.yaml").write_text("dag_id: x\ntasks: {extract: null, load: [extract]}\n")
    code = "def extract(): return 1\ndef load(extract): print(extract)\nbuild_yaml('x.yaml')"
    bag = bag_of(dag_folder, x_py=code)
    assert bag.dags["x"].get_task("load").upstream_task_ids == {"extract"}


def test_documentation_file_is_found_beside_the_dag(dag_folder: Path) -> None:
    (dag_folder / "x.md").write_text("# Sales")
    code = "build_dag('x', {'doc_md': 'x.md', 'tasks': {'a': {'operator': 'empty'}}})"
    assert bag_of(dag_folder, x_py=code).dags["x"].doc_md == "# Sales"


def test_outside_of_airflow_a_mistake_is_raised() -> None:
    with pytest.raises(DagError) as caught:
        build_dag("x", {"tasks": {"a": {"operator": "emtpy"}}})
    assert [problem.where for problem in caught.value.problems] == ["x.tasks.a.operator"]


def test_outside_of_airflow_good_dags_of_a_template_are_kept() -> None:
    template = {"tasks": {"a": {"operator": "${operator}"}}}
    sets = [{"name": "good", "operator": "empty"}, {"name": "bad", "operator": "emtpy"}]
    with pytest.raises(DagError):
        build_dags("kept_${name}", template, sets)
    assert isinstance(globals()["dag:kept_good"], DAG)


def test_every_parse_gives_the_same_bytes(dag_folder: Path) -> None:
    """Twice in one process, to the byte; and in another one, whose sets have another order.

    The order of keys is Airflow's own there, and its hash, which makes versions, sorts them.
    """
    code = """
def extract(): return {"a": 1}
def clean(extract): return extract
build_dag("x", {
    "tags": ["b", "a", "c", "d"],
    "params": {"n": {"default": 1, "type": "integer"}, "m": "x"},
    "schedule": {"any": ["one", {"all": ["two", "three"]}]},
    "operator_defaults": {"bash": {"env": {"B": "1", "A": "2"}}},
    "tasks": {
        "extract": [], "clean": ["extract"],
        "say": {"operator": "bash", "bash_command": "date", "upstream": ["clean", "extract"]},
        "g": {"upstream": ["clean"], "expand": {"file": ["b", "a"]}, "tooltip": "t", "tasks": {
            "one": {"operator": "bash", "bash_command": {"$argument": "file"}},
            "two": {"operator": "empty", "upstream": ["one"]}}},
        "end": {"operator": "empty", "upstream": ["g", "say"], "outlets": ["z", "y"]},
    },
})
"""
    (dag_folder / "x.py").write_text(HEAD + code)
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"  # not this process's
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.dag_builder.parse_again", str(dag_folder)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
    assert done.stdout.partition("STORED ")[2].strip() == stored_twice(str(dag_folder))


def test_built_dag_survives_storage(dag_folder: Path) -> None:
    bag = bag_of(dag_folder, x_py=f"build_dag('x', {GOOD})")
    stored = json.loads(json.dumps(DagSerialization.to_dict(bag.dags["x"])))
    assert list(DagSerialization.from_dict(stored).task_dict) == ["a"]


def test_importing_the_library_imports_nothing_of_airflow() -> None:
    code = (
        "import sys, dag_builder, dag_builder.cli.main as m; m.make_parser();"
        "print([n for n in sys.modules if n.split('.')[0] in "
        "{'airflow', 'pydantic', 'yaml', 'croniter', 'pendulum', 'sqlalchemy'}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


# Whatever goes wrong with one DAG, the others of its file stay

UNFORESEEN = """
class Sly(dict):
    def items(self):
        raise RuntimeError("the moon is full")

class Unprintable:
    def __repr__(self):
        raise RuntimeError("no text")

def sets():
    yield {"c": 1}
    raise RuntimeError("the sun is dark")

"""
UNFORESEEN_CALLS = [
    ('build_dag("bad", {"tasks": Sly(a={"operator": "empty"})})', "bad", "the moon is full"),
    ('build_dag("bad", {"tasks": {"a": Sly(operator="empty")}})', "bad.tasks.a", "moon"),
    ('build_dag("bad", {"tasks": {"a": {"operator": "empty"}}, "params": Sly(a=1)})', "", "moon"),
    ('build_dag("bad", {"a": []}, defaults=3)', "bad", ""),
    ('build_dag("bad", 3, schedule=None)', "bad", ""),
    ('build_dag("bad", {"tasks": {"a": Unprintable()}})', "bad.tasks.a", "this is not a task"),
    ('build_dag("bad", {"a": []}, tasks="module_that_exits")', "bad", "SystemExit: 3"),
    ('build_dag("bad", {"tasks": {"a": {"callable": "module_that_exits.f"}}})', "bad.tasks.a", ""),
    ('build_dags("bad_${c}", {"tasks": {"a": {"operator": "empty"}}}, sets())', "bad_", "the sun"),
    ('build_dags("bad_${c}", 3, [{"c": 1}], schedule=None)', "bad_", ""),
    ("build_yaml(3)", "3", "TypeError"),
]


@pytest.mark.parametrize(("call", "where", "text"), UNFORESEEN_CALLS)
def test_unforeseen_error_is_the_import_error_of_its_dag_alone(
    dag_folder: Path, call: str, where: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(dag_folder.parent))
    (dag_folder.parent / "module_that_exits.py").write_text("raise SystemExit(3)")
    code = f"{UNFORESEEN}build_dag('one', {GOOD})\n{call}\nbuild_dag('two', {GOOD})\n"
    bag = bag_of(dag_folder, x_py=code)
    assert sorted(bag.dags) == ["one", "two"]
    [printed] = bag.import_errors.values()
    assert printed.startswith("DagError: ")
    assert where in printed
    assert text in printed


def test_unexpected_error_is_the_cause_with_the_line_that_raised_it() -> None:
    class Sly(dict[str, object]):
        def items(self) -> NoReturn:
            message = "the moon is full"
            raise RuntimeError(message)

    with pytest.raises(DagError) as caught:
        build_dag("bad", {"schedul": None, "tasks": {"a": Sly(operator="empty")}})
    assert isinstance(caught.value.__cause__, RuntimeError)
    [first, second] = caught.value.problems
    assert first.where == "bad.schedul"
    assert second.where == "bad.tasks.a"
    assert second.message == "building this DAG fails: RuntimeError: the moon is full"
    assert f"raised in {__file__}, line " in second.hint
    pickle.loads(pickle.dumps(caught.value))  # noqa: S301


def test_interrupt_is_not_a_mistake_of_a_dag() -> None:
    class Stopped(dict[str, object]):
        def items(self) -> NoReturn:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_dag("bad", {"tasks": Stopped(a=None)})


def test_unforeseen_error_in_one_yaml_file_leaves_the_folder(dag_folder: Path) -> None:
    """YAML's own tags raise whatever Python raises of their text."""
    folder = dag_folder / "yaml"
    folder.mkdir()
    (folder / "a.yaml").write_text("dag_id: a\ntasks: {t: {operator: empty}}\n")
    (folder / "b.yaml").write_text("dag_id: b\ntasks: {t: {retries: !!int abc}}\n")
    (folder / "c.yaml").write_text(
        "dags:\n  c: {tasks: {t: {operator: empty}}}\n"
        "  d: {for_each: [{x: [1]}], tasks: {'${x}': {operator: empty}}}\n"
    )
    bag = bag_of(dag_folder, x_py="build_yaml('yaml')")
    assert sorted(bag.dags) == ["a", "c"]
    [printed] = bag.import_errors.values()
    assert "b.yaml" in printed


def test_callable_object_without_a_hash_is_not_a_task() -> None:
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, missing: int) -> int:
            return missing

    with pytest.raises(DagError, match="@task needs a function that is written in Python"):
        dag_of("x", {"a": []}, {"a": Unhashable()})


def test_ready_made_date_beside_a_written_one_is_airflows_to_judge(dag_folder: Path) -> None:
    dates = "{'start_date': {'$object': 'builtins.str'}, 'end_date': '2026-01-01', "
    bag = bag_of(dag_folder, x_py=f"build_dag('x', {dates}'a': []}})\nbuild_dag('y', {GOOD})")
    assert list(bag.dags) == ["y"]


def reported_of(folder: Path, **files: str) -> tuple[list[str], str]:
    """The DAGs that are built of a folder of YAML files, and the import errors."""
    (folder / "yaml").mkdir()
    for name, text in files.items():
        (folder / "yaml" / f"{name}.yaml").write_text(text)
    bag = bag_of(folder, x_py="build_yaml('yaml')")
    return sorted(bag.dags), "\n".join(bag.import_errors.values())


ONE = "{tasks: {t: {operator: empty}}}"


@pytest.mark.parametrize(
    "wrong",
    [
        "{tags: [a], tags: [b], tasks: {t: {operator: empty}}}",
        "{tasks: {t: {operator: empty, retries: !!int abc}}}",
        "{tags: &t [*t], tasks: {t: {operator: empty}}}",
        "{<<: 3, tasks: {t: {operator: empty}}}",
        f"{ONE}\n  bad: {ONE}",
    ],
)
def test_wrong_text_of_one_dag_leaves_the_other_dags_of_its_file(
    dag_folder: Path, wrong: str
) -> None:
    text = f"dags:\n  one: {ONE}\n  bad: {wrong}\n  two: {ONE}\n"
    dags, printed = reported_of(dag_folder, a=text)
    assert dags == ["one", "two"]
    assert "in DAG 'bad'" in printed
    assert f"({dag_folder / 'yaml' / 'a.yaml'}, line " in printed


def test_wrong_set_of_parameters_leaves_the_other_dags_of_its_template(dag_folder: Path) -> None:
    text = "dag_id: x_${c}\nfor_each: [{c: 1, n: a}, {c: 2}, 3]\ntasks: {t: {operator: bash, "
    dags, printed = reported_of(dag_folder, a=text + "bash_command: '${n}'}}\n")
    assert dags == ["x_1"]
    assert "there is no parameter 'n'" in printed
    assert "for_each[2]" in printed


@pytest.mark.parametrize("text", ["tags: [\n", "[3]\n", "tags: [a]\ntags: [b]\n"])
def test_dags_are_not_built_without_defaults_that_cannot_be_read(
    dag_folder: Path, text: str
) -> None:
    files = {"a": f"dags: {{a: {ONE}}}", "b": f"dag_id: b\n{ONE[1:-1]}\n"}
    dags, printed = reported_of(dag_folder, defaults=text, **files)
    assert dags == []
    assert "2 mistakes in DAGs 'a', 'b'" in printed
    assert printed.count(f"{dag_folder / 'yaml' / 'defaults.yaml'}, line ") == 2
    assert "so this DAG's defaults are not known" in printed


def test_inherited_mistake_has_the_line_of_the_defaults(dag_folder: Path) -> None:
    dags, printed = reported_of(
        dag_folder,
        defaults="tags: [a]\ndefault_args:\n  retris: 3\n",
        a=f"defaults:\n  schedul: null\ndags:\n  a: {ONE}\n",
    )
    assert dags == []
    assert f"a.default_args.retris ({dag_folder}/yaml/defaults.yaml, line 3, column 3)" in printed
    assert f"a.schedul ({dag_folder}/yaml/a.yaml, line 2, column 3)" in printed
