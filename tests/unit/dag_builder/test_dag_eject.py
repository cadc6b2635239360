"""``dag-builder eject``: DAGs as plain Airflow Python, equal when Airflow stores them.

Every DAG that the other tests build is ejected as well (conftest.py).
"""

import importlib.util
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dag_builder.cli.main import main
from dag_builder.eject.compare import difference, stored
from dag_builder.testing.load import load

DAGS = Path(__file__).parents[3] / "dags"
PAGE = (DAGS.parent / "docs" / "dags.md").read_text(encoding="utf-8")
EXAMPLES = sorted(file for file in DAGS.glob("*.py") if "build_" in file.read_text())
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_OWN_MODULE = re.compile(r"unusual_prefix_[0-9a-f]+_\w+")
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def sales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """The module that the documentation's examples take their functions from."""
    from dag_builder.read.imports import import_object

    code = next(code for info, code in _FENCE.findall(PAGE) if info == "python sales")
    folder = tmp_path / "functions"
    folder.mkdir()
    (folder / "sales.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    import_object.cache_clear()
    import sales

    yield sales
    del sys.modules["sales"]
    import_object.cache_clear()


def ejected(file: Path, output: Path, *options: str) -> str:
    """Eject a file's DAGs into another; return what is written."""
    assert main(["eject", str(file), "--output", str(output), *options]) == 0
    return output.read_text(encoding="utf-8")


def refusal(capsys: Captured, file: Path, *options: str) -> str:
    """Why a file cannot be ejected. Nothing is written then."""
    output = file.parent / "not_written.py"
    capsys.readouterr()
    assert main(["eject", str(file), "--output", str(output), *options]) == 1
    assert not output.exists()
    return capsys.readouterr().err


def dags_of(file: Path) -> dict[str, Any]:
    """What Airflow stores of the DAGs that it finds in a file."""
    found = load([file])
    assert not found.errors, found.errors
    assert found.dags
    return {name: _plain(stored(dag)) for name, dag in found.dags.items()}


def _plain(value: Any) -> Any:
    """The value without the name by which Airflow imports the file."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if "fileloc" not in str(key)}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return _OWN_MODULE.sub("the_file", value) if isinstance(value, str) else value


def assert_formatted(*files: Path) -> None:
    """Ruff finds nothing to do, with its own settings. The image's Python has none."""
    if importlib.util.find_spec("ruff") is None:
        return
    for command in (["format", "--diff"], ["check", "--select", "E,F,I,W", "--ignore", "E501"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", *map(str, files)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def write(folder: Path, code: str, name: str = "sales_dag.py") -> Path:
    file = folder / name
    file.write_text(code, encoding="utf-8")
    return file


@pytest.mark.parametrize("file", EXAMPLES, ids=[file.stem for file in EXAMPLES])
def test_an_example_of_the_repository_is_equal(file: Path, tmp_path: Path) -> None:
    output = tmp_path / file.name
    code = ejected(file, output)
    assert "dag_builder" not in code
    assert dags_of(output) == dags_of(file)
    assert "build_" not in code


def _examples() -> list[tuple[str, list[tuple[str, str]]]]:
    found = []
    for section in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        if "<!-- example -->" in body:
            found.append((title, _FENCE.findall(re.split(r"^#+ ", body, flags=re.MULTILINE)[0])))
    return found


@pytest.mark.usefixtures("sales")
@pytest.mark.parametrize(("title", "fences"), _examples(), ids=[title for title, _ in _examples()])
def test_an_example_of_the_documentation_is_equal(
    title: str, fences: list[tuple[str, str]], tmp_path: Path
) -> None:
    file = write(tmp_path, fences[0][1], "example.py")
    output = tmp_path / "ejected.py"
    code = ejected(file, output)
    assert "dag_builder" not in code, title
    assert dags_of(output) == dags_of(file)
    assert_formatted(output)
    for info, text in fences:
        if info == "yaml":
            source = write(tmp_path, text, "example.yaml")
            ejected(source, output, "--force")
            assert dags_of(output) == dags_of(file)
            assert_formatted(output)


SALES = '''\
"""Orders of the day."""

import csv

# Airflow opens files that have its name in them.
from dag_builder import build_dag

DAY = {"retries": 2}  # only for the dictionary
QUERY = """
SELECT *
FROM orders
"""


def extract(path="a.csv"):
    return list(csv.reader(path))


def load(extract):
    print(extract)


build_dag(
    "sales",
    {
        "doc_md": __doc__,
        "schedule": "@daily",
        "start_date": "2026-01-01",
        "default_args": DAY,
        "tasks": {
            "start": {"operator": "bash", "bash_command": "echo {{ ds }}"},
            "query": {"operator": "sql", "sql": QUERY, "upstream": "start"},
            "extract": ["start"],
            "load": ["extract"],
            "end": {"operator": "empty", "upstream": ["query", "load"]},
        },
    },
)
'''

EJECTED = '''\
"""Orders of the day."""

import csv

import pendulum
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, task

QUERY = """
SELECT *
FROM orders
"""


def extract(path="a.csv"):
    return list(csv.reader(path))


def load(extract):
    print(extract)


with DAG(
    "sales",
    doc_md=__doc__,
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    default_args={"retries": 2},
):
    start = BashOperator(task_id="start", bash_command="echo {{ ds }}")
    query = SQLExecuteQueryOperator(task_id="query", sql=QUERY)
    extract_task = task(extract)()
    load_task = task(load)(extract=extract_task)
    end = EmptyOperator(task_id="end")

    start >> [query, extract_task]
    [query, load_task] >> end
'''


def test_a_python_file_keeps_its_functions(tmp_path: Path) -> None:
    file = write(tmp_path, SALES)
    output = tmp_path / "ejected.py"
    assert ejected(file, output) == EJECTED
    assert_formatted(output)


SHOP = """\
x-asset: &asset {name: orders, uri: s3://shop/orders}
dags:
  write:
    description: Writes
    schedule: {cron: 0 6 * * *, timezone: Europe/Paris}
    default_args: {retry_delay: 5m}
    params:
      day: {type: string, default: today}
    on_failure_callback: {callback: sales.tell, channel: ops}
    tasks:
      wait: {operator: file_sensor, filepath: /data, poke_interval: 30s}
      each:
        upstream: wait
        expand: {file: [a.csv, b.csv]}
        tasks:
          count: {callable: sales.count}
          tidy: {operator: bash, bash_command: tidy, upstream: count}
      total:
        callable: sales.total
        arguments: {amounts: {$output: each.count}}
        outlets: [*asset]
  read:
    schedule: {any: [*asset, {all: [stock, prices]}]}
    tasks:
      extract: {callable: sales.extract, python: airflow_env}
      one: {callable: sales.one, expand: {order: {$output: extract}}}
      drop: {operator: empty, teardown: extract, upstream: [{task: one, label: last}]}
"""

SHOP_EJECTED = """\
import os
import sys
from datetime import timedelta
from functools import partial

import sales
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.sensors.filesystem import FileSensor
from airflow.sdk import DAG, Asset, CronTriggerTimetable, Label, Param, task, task_group

orders = Asset(name="orders", uri="s3://shop/orders")

with DAG(
    "write",
    description="Writes",
    schedule=CronTriggerTimetable("0 6 * * *", timezone="Europe/Paris"),
    params={"day": Param("today", type="string")},
    on_failure_callback=partial(sales.tell, channel="ops"),
    default_args={"retry_delay": timedelta(minutes=5)},
):
    wait = FileSensor(
        task_id="wait",
        filepath="/data",
        poke_interval=timedelta(seconds=30),
    )

    @task_group
    def each(file):
        count = task(sales.count)(file=file)
        tidy = BashOperator(task_id="tidy", bash_command="tidy")

        count >> tidy

        return count, count.operator.task_group

    count, each_group = each.expand(file=["a.csv", "b.csv"])

    task(outlets=[orders])(sales.total)(amounts=count)

    wait >> each_group

with DAG("read", schedule=orders | (Asset("stock") & Asset("prices"))):
    extract = task.external_python(
        python=os.environ.get("AIRFLOW_ENV_PYTHON", sys.executable),
    )(sales.extract)()
    one = task(sales.one).expand(order=extract)
    drop = EmptyOperator(task_id="drop")

    drop.as_teardown(setups=extract)
    one >> Label("last") >> drop
"""


@pytest.mark.usefixtures("sales")
def test_yaml_is_written_as_an_author_would(tmp_path: Path, capsys: Captured) -> None:
    file = write(tmp_path, SHOP, "shop.yaml")
    output = tmp_path / "shop.py"
    assert ejected(file, output) == SHOP_EJECTED
    assert_formatted(output)
    capsys.readouterr()
    assert main(["eject", str(file)]) == 0
    assert capsys.readouterr().out == SHOP_EJECTED


@pytest.mark.usefixtures("sales")
def test_the_code_in_the_documentation_is_what_is_written(tmp_path: Path) -> None:
    code, written = (text for info, text in _FENCE.findall(PAGE) if info.endswith(" eject"))
    file = write(tmp_path, code, "amounts.yaml")
    assert ejected(file, tmp_path / "amounts.py") == written


@pytest.mark.usefixtures("sales")
def test_one_dag_and_a_folder(tmp_path: Path, capsys: Captured) -> None:
    file = write(tmp_path, SHOP, "shop.yaml")
    assert main(["eject", str(file), "--dag", "read"]) == 0
    printed = capsys.readouterr().out
    assert '"read"' in printed
    assert '"write"' not in printed
    folder = tmp_path / "plain"
    assert main(["eject", str(file), "-o", str(folder)]) == 0
    assert sorted(one.name for one in folder.iterdir()) == ["read.py", "write.py"]
    assert dags_of(folder).keys() == {"read", "write"}
    printed = refusal(capsys, file, "--dag", "raed")
    assert "there is no such DAG: 'read', 'write'; did you mean 'read'?" in printed


def test_a_file_that_is_there_is_replaced_only_by_force(tmp_path: Path, capsys: Captured) -> None:
    file = write(tmp_path, SALES)
    output = write(tmp_path, "mine", "mine.py")
    assert main(["eject", str(file), "-o", str(output)]) == 1
    assert "already exists and is not changed" in capsys.readouterr().err
    assert output.read_text() == "mine"
    folder = tmp_path / "plain"
    folder.mkdir()
    there = write(folder, "mine", file.name)
    assert main(["eject", str(file), "-o", str(folder)]) == 1
    assert there.read_text() == "mine"
    assert main(["eject", str(file), "-o", str(folder), "--force"]) == 0
    assert there.read_text() == EJECTED


LOOP = """\
from datetime import timedelta

from airflow.sdk import Asset, Param
from dag_builder import build_dag, build_dags, output, register_operator

register_operator("nothing", "airflow.providers.standard.operators.empty.EmptyOperator")
WEEK = timedelta(days=7)
STOCK = Asset("stock")
COUNTRIES = ["fr", "jp"]


def entry(name):
    return {"operator": "bash", "bash_command": f"echo {name}"}


def numbers(table):
    return [table]


def add(*, numbers, limit):
    return numbers


for country in COUNTRIES:
    build_dag(f"copy_{country}", {"tasks": {"copy": entry(country)}})

two = build_dag(
    "two",
    {
        "dagrun_timeout": WEEK,
        "params": {"limit": Param(3, type="integer")},
        "tasks": {
            "numbers": {"callable": numbers, "arguments": {"table": "a"}, "outlets": [STOCK]},
            "add": {"callable": add, "arguments": {"numbers": output("numbers"), "limit": 3}},
            "end": {"operator": "nothing", "upstream": "add"},
        },
    },
)
assert two.dag_id == "two"
build_dags("${x}", {"tasks": {"a": {"operator": "nothing"}}}, for_each=[{"x": "p"}, {"x": "q"}])
"""

LOOP_EJECTED = """\
from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, Param, task

WEEK = timedelta(days=7)
STOCK = Asset("stock")


def numbers(table):
    return [table]


def add(*, numbers, limit):
    return numbers


with DAG("copy_fr"):
    BashOperator(task_id="copy", bash_command="echo fr")

with DAG("copy_jp"):
    BashOperator(task_id="copy", bash_command="echo jp")

with DAG(
    "two",
    dagrun_timeout=WEEK,
    params={"limit": Param(default=3, type="integer")},
) as two:
    numbers_task = task(outlets=[STOCK])(numbers)(table="a")
    add_task = task(add)(numbers=numbers_task, limit=3)
    end = EmptyOperator(task_id="end")

    add_task >> end

assert two.dag_id == "two"

with DAG("p"):
    EmptyOperator(task_id="a")

with DAG("q"):
    EmptyOperator(task_id="a")
"""


def test_calls_in_loops_and_names_of_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, LOOP)
    output = tmp_path / "ejected.py"
    assert ejected(file, output) == LOOP_EJECTED
    assert dags_of(output) == dags_of(file)


BUILD = "from dag_builder import build_dag\n"
REFUSED = {
    "a lambda": (
        BUILD + "build_dag('d', {'tasks': {'a': {'callable': lambda: 1}}})",
        "d.tasks.a.callable\n    a lambda has no name",
    ),
    "a local function": (
        BUILD + "def make():\n    def f(): pass\n    return f\n"
        "build_dag('d', {'tasks': {'a': {'callable': make()}}})",
        "make.<locals>.f is defined inside of a function",
    ),
    "an object without a name": (
        BUILD + "class Thing: pass\n"
        "build_dag('d', {'user_defined_macros': {'t': Thing()},"
        " 'tasks': {'a': {'operator': 'empty'}}})",
        "d.user_defined_macros.t\n    an object of Thing cannot be written as Python",
    ),
    "a call within another statement": (
        BUILD + "def make():\n    build_dag('d', {'tasks': {'a': {'operator': 'empty'}}})\nmake()",
        "d\n    line 3: the DAG is built inside of another statement",
    ),
    "a loop that does more": (
        BUILD + "for x in 'ab':\n    print(x)\n"
        "    build_dag(x, {'tasks': {'a': {'operator': 'empty'}}})",
        "a\n    line 3: the DAG is built inside of another statement",
    ),
    "an operator that is made, with default_args": (
        BUILD + "from airflow.providers.standard.operators.empty import EmptyOperator\n"
        "build_dag('d', {'default_args': {'retries': 1},"
        " 'tasks': {'a': EmptyOperator(task_id='a')}})",
        "d.tasks.a\n    an operator that is already made takes no default_args here",
    ),
    "a DAG that is not registered": (
        BUILD + "build_dag('d', {'auto_register': False, 'tasks': {'a': {'operator': 'empty'}}})",
        "d.auto_register\n    auto_register is off",
    ),
    "a broken DAG": (
        BUILD + "build_dag('d', {'tasks': {'a': {'operator': 'emtpy'}}})",
        "did you mean 'empty'?",
    ),
    "more of dag_builder": (
        BUILD + "from dag_builder import DagError\n"
        "build_dag('d', {'tasks': {'a': {'operator': 'empty'}}})\nprint(DagError)",
        "the file still uses dag_builder, apart from the calls that build DAGs: from dag_builder",
    ),
    "no DAG": ("import airflow  # dag", "dag_builder builds no DAG in it"),
    "a plain DAG": (
        "from airflow.sdk import DAG\nDAG('d', schedule=None)",
        "dag_builder builds no DAG in it",
    ),
    "an environment variable that becomes a duration": (
        BUILD + "build_dag('d', {'tasks': {'a': {'operator': 'empty',"
        " 'execution_timeout': {'$env': 'EJECT_TIME'}}}})",
        "d.tasks.a.execution_timeout\n    the value is converted when the dictionary is read",
    ),
    "a boolean of another module": (
        BUILD + "build_dag('d', {'catchup': {'$import': 'typing.TYPE_CHECKING'},"
        " 'tasks': {'a': {'operator': 'empty'}}})",
        "the value is converted when the dictionary is read",
    ),
}


@pytest.mark.parametrize(("code", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_written_is_refused_by_name(
    code: str, reason: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EJECT_TIME", "5m")
    file = write(tmp_path, f"# airflow\n{code}\n")
    assert reason in refusal(capsys, file)


def test_a_dag_that_uses_groups_in_turn_is_refused(tmp_path: Path, capsys: Captured) -> None:
    bash = "operator: bash, bash_command:"
    file = write(
        tmp_path,
        "dag_id: d\ntasks:\n"
        f"  g: {{tasks: {{a: {{{bash} x}}, b: {{{bash} {{$output: h.c}}}}}}}}\n"
        f"  h: {{tasks: {{c: {{{bash} {{$output: g.a}}}}}}}}\n",
        "turn.yaml",
    )
    assert "the tasks of 'g', 'h' use each other's outputs in turn" in refusal(capsys, file)


def test_a_folder_is_refused(tmp_path: Path, capsys: Captured) -> None:
    assert main(["eject", str(tmp_path)]) == 1
    assert "is a folder: eject writes the DAGs of one file" in capsys.readouterr().err


def test_values_keep_where_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("EJECT_QUEUE", "big")
    monkeypatch.setenv("EJECT_RETRIES", "3")
    code = "dag_id: d\ntasks:\n  a: {operator: empty, queue: {$env: EJECT_QUEUE}, retries: "
    code += "{$env: EJECT_RETRIES}, pool: {$env: EJECT_NONE, default: p}, "
    code += "doc_md: {$import: string.digits}}\n"
    assert main(["eject", str(write(tmp_path, code, "environment.yaml"))]) == 0
    printed = capsys.readouterr().out
    assert 'queue=os.environ["EJECT_QUEUE"]' in printed
    assert 'retries=json.loads(os.environ["EJECT_RETRIES"])' in printed
    assert 'pool=os.environ.get("EJECT_NONE", "p")' in printed
    assert "doc_md=string.digits" in printed


def test_the_first_difference_is_named() -> None:
    assert difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == "a[1].b is 3 and not 2"
    assert difference({"a": 1}, {"a": 1, "b": 2}) == "b is 2 and not None"
    assert difference([1], [1, 2]) == " is [1, 2] and not [1]"
    assert difference({"a": 1, "fileloc": "x"}, {"a": 1, "fileloc": "y"}) is None
