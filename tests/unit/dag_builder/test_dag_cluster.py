"""`dag-builder check --cluster`: DAGs against the description of a cluster."""

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from dag_builder.cli.main import main
from dag_builder.cluster.packages import packages_with

Captured = pytest.CaptureFixture[str]
HEAD = "# airflow\nfrom dag_builder import build_dag\n"
CLUSTER: dict[str, Any] = {
    "queues": {"default": 3600, "gpu": 60, "endless": None},
    "pools": {"default_pool": -1, "warehouse": 2},
    "connections": ["warehouse"],
    "variables": ["country"],
    "packages": ["apache-airflow-providers-standard", "dag_builder"],
}


def check(
    capsys: Captured, dag_folder: Path, cluster: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Check a folder; return the report."""
    file = dag_folder.parent / "cluster.json"
    file.write_text(json.dumps(CLUSTER if cluster is None else cluster))
    code = main(["check", "--format", "json", "--cluster", str(file), str(dag_folder)])
    report = json.loads(capsys.readouterr().out)
    assert code == (1 if report["problems"] else 0)
    return report


def problems(
    capsys: Captured, folder: Path, text: str, cluster: dict[str, Any] | None = None
) -> list[tuple[str, int, str]]:
    """Check one file; return the path, the line and the message of each problem."""
    (folder / "one.py").write_text(text)
    found = check(capsys, folder, cluster)["problems"]
    assert {one["file"] for one in found} <= {str(folder / "one.py")}
    return [(one["path"], one["line"], one["message"]) for one in found]


def bash(**arguments: object) -> str:
    """A file whose second to last line has the arguments."""
    task = {"operator": "bash", "bash_command": "true", **arguments}
    return f"{HEAD}build_dag('sales', {{'tasks': {{\n    'say': {task!r},\n}}}})\n"


WRONG = [
    ({"queue": "cpu"}, "queue", "no worker of the cluster serves the queue 'cpu'"),
    ({"pool": "warehose"}, "pool", "the pool 'warehose' is not configured on the cluster"),
    (
        {"pool": "warehouse", "pool_slots": 3},
        "pool_slots",
        "'warehouse' of the cluster has fewer slots than the task takes, so the task would wait",
    ),
    ({"execution_timeout": "3601s"}, "execution_timeout", "longer than the 1:00:00 that"),
    (
        {"execution_timeout": "61s", "queue": "gpu"},
        "execution_timeout",
        "longer than the 0:01:00 that a worker of the queue 'gpu' gives it when it stops: then it",
    ),
    ({"bash_command": "{{ var.value.city }}"}, "bash_command", "the variable 'city'"),
    ({"bash_command": "{{ var.json.city.name }}"}, "bash_command", "the variable 'city'"),
    ({"bash_command": "{{ var.value['a b'] }}"}, "bash_command", "the variable 'a b'"),
    ({"bash_command": "{{ var.value.get('city') }}"}, "bash_command", "the variable 'city'"),
    ({"bash_command": "{% if conn.lake.host %}x{% endif %}"}, "bash_command", "connection 'lake'"),
    ({"env": {"A": "{{ conn['lake'].host }}"}}, "env.A", "the connection 'lake'"),
]


@pytest.mark.parametrize(("arguments", "path", "words"), WRONG)
def test_what_the_cluster_lacks_is_reported_at_its_place(
    arguments: dict[str, Any], path: str, words: str, dag_folder: Path, capsys: Captured
) -> None:
    ((at, line, message),) = problems(capsys, dag_folder, bash(**arguments))
    assert (at, line) == (f"sales.tasks.say.{path}", 4)
    assert words in message


@pytest.mark.parametrize(
    "arguments",
    [
        {"queue": "gpu", "pool": "warehouse", "pool_slots": 2, "execution_timeout": "60s"},
        {"queue": "endless", "execution_timeout": "100d"},
        {"pool_slots": 100},
        {"bash_command": "{{ var.value.country }} {{ conn.warehouse.host }}"},
        {"bash_command": "{{ var.value.get('city', 'Paris') }} {{ conn.get('lake') }}"},
        {"bash_command": "{% set var = {'value': {'city': 1}} %}{{ var.value.city }}"},
        {"bash_command": "{{ params.var.value.city }} {{ var.value[params.x] }}"},
        {"bash_command": "echo var.value.city"},
    ],
)
def test_what_the_cluster_has_is_valid(
    arguments: dict[str, Any], dag_folder: Path, capsys: Captured
) -> None:
    assert problems(capsys, dag_folder, bash(**arguments)) == []


def test_what_the_description_leaves_out_is_not_checked(dag_folder: Path, capsys: Captured) -> None:
    text = bash(
        queue="a",
        pool="b",
        pool_slots=9,
        execution_timeout="9d",
        bash_command="{{ var.value.c }} {{ conn.d }}",
    )
    assert problems(capsys, dag_folder, f"import yaml\n{text}", {}) == []


def test_the_default_queue_is_that_of_the_cluster(dag_folder: Path, capsys: Captured) -> None:
    cluster = {"queues": {"big": 60}, "default_queue": "big"}
    assert problems(capsys, dag_folder, bash(), cluster) == []
    ((_, _, message),) = problems(capsys, dag_folder, bash(), {"queues": {"big": 60}})
    assert "serves the queue 'default'" in message


PLAIN = """\
# airflow
import datetime as dt
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.sensors.filesystem import FileSensor
from airflow.sdk import DAG, task

@task(queue="cpu")
def load(conn_id): ...

with DAG("plain"):
    BashOperator(task_id="one", pool="default_pool", bash_command="true")
    BashOperator(
        task_id="two", bash_command="true",
        pool="lake",
        execution_timeout=dt.timedelta(hours=2),
    )
    FileSensor(task_id="wait", filepath="a", fs_conn_id="lake")
    FileSensor.partial(task_id="each", fs_conn_id="sea").expand(filepath=["a"])
    load.expand(conn_id=["warehouse", "pond"])
    load.override(task_id="twice")(conn_id="river")
"""


def test_plain_airflow_code_is_checked_too(dag_folder: Path, capsys: Captured) -> None:
    found = {(path, line) for path, line, _ in problems(capsys, dag_folder, PLAIN)}
    assert found == {
        ("plain.two.pool", 14),
        ("plain.two.execution_timeout", 15),
        ("plain.wait.fs_conn_id", 17),
        ("plain.each.fs_conn_id", 18),
        ("plain.load.conn_id[1]", 19),
        ("plain.twice.op_kwargs.conn_id", 20),
        ("plain.load.queue", 7),
    }


def test_a_connection_that_an_operator_has_by_default_is_a_warning(
    dag_folder: Path, capsys: Captured
) -> None:
    (dag_folder / "one.py").write_text(
        f"{HEAD}build_dag('a', {{'tasks': {{'b': {{'operator': 'file_sensor', 'filepath': 'c'}}"
        "}})"
    )
    report = check(capsys, dag_folder)
    assert report["problems"] == []
    ((warning,),) = report["warnings"].values()
    assert "'fs_default', which the operator uses by default, is not configured" in warning


def test_yaml_has_its_own_places(dag_folder: Path, capsys: Captured) -> None:
    (dag_folder / "functions.py").write_text("def load(conn_id): ...\n")
    (dag_folder / "all.py").write_text(
        "# airflow dag\nfrom dag_builder import build_yaml\nbuild_yaml('sales.yaml')\n"
    )
    file = dag_folder / "sales.yaml"
    file.write_text(
        "dag_id: sales\n"
        "default_args: {queue: cpu}\n"
        "tasks:\n"
        "  say:\n"
        "    operator: bash\n"
        "    bash_command: echo {{ var.value.city }}\n"
        "    pool: lake\n"
        "  load:\n"
        "    callable: functions.load\n"
        "    arguments: {conn_id: lake}\n"
    )
    for given in (dag_folder, file):
        found = check(capsys, given)["problems"]
        assert {one["file"] for one in found} == {str(file)}
        assert {(one["path"], one["line"]) for one in found} == {
            ("sales.tasks.say.queue", 2),
            ("sales.tasks.say.bash_command", 6),
            ("sales.tasks.say.pool", 7),
            ("sales.tasks.load.arguments.conn_id", 10),
        }
        (queue,) = (one for one in found if one["path"].endswith("queue"))
        assert queue["hint"].endswith("1 more task of this DAG does the same")


def test_a_template_file_is_read(dag_folder: Path, capsys: Captured) -> None:
    (dag_folder / "say.sh").write_text("echo {{ var.value.city }}\n")
    ((path, line, message),) = problems(capsys, dag_folder, bash(bash_command="say.sh"))
    assert (path, line) == ("sales.tasks.say.bash_command", 4)
    assert "the variable 'city'" in message


def test_a_template_file_of_a_yaml_file_is_read(dag_folder: Path, capsys: Captured) -> None:
    (dag_folder / "say.sh").write_text("echo {{ var.value.city }}\n")
    file = dag_folder / "sales.yaml"
    file.write_text("dag_id: sales\ntasks:\n  say: {operator: bash, bash_command: say.sh}\n")
    (found,) = check(capsys, file)["problems"]
    assert (found["path"], found["line"]) == ("sales.tasks.say.bash_command", 3)
    assert "the variable 'city'" in found["message"]


PACKAGES = """\
# airflow
from typing import TYPE_CHECKING
import json
import yaml
from dag_builder import build_dag
from airflow.providers.postgres.hooks.postgres import PostgresHook
from own import load
if TYPE_CHECKING:
    import pydantic
try:
    import requests
except ImportError:
    requests = None
def elsewhere():
    import tenacity
build_dag("sales", {"tasks": {
    "load": {"callable": load},
    "elsewhere": {"callable": elsewhere, "decorator": "virtualenv", "requirements": ["tenacity"]},
    "ask": {"operator": "email", "to": "a@b.c", "subject": "x", "html_content": "y"},
}})
"""


def test_packages_that_the_cluster_lacks(dag_folder: Path, capsys: Captured) -> None:
    (dag_folder / "one.py").write_text(PACKAGES)
    (dag_folder / "own.py").write_text(
        "def load():\n    import jinja2\n    import no_such_module\n"
    )
    report = check(capsys, dag_folder)
    messages = {one["message"] for one in report["problems"]}
    assert "the cluster does not have the package 'pyyaml', which 'yaml' is in" in messages
    found = {(Path(one["file"]).name, one["line"], one["given"]) for one in report["problems"]}
    assert found == {
        ("one.py", 4, "'pyyaml'"),
        ("one.py", 6, "'apache-airflow-providers-postgres'"),
        ("own.py", 2, "'jinja2'"),
        ("one.py", 19, "'apache-airflow-providers-smtp'"),
    }
    (warning,) = report["warnings"][str(dag_folder / "own.py")]
    assert "no package here has the module 'no_such_module'" in warning
    assert "so the cluster is not checked for it: install its package where you run the" in warning


def test_a_file_that_cannot_be_imported_has_its_package_named(
    dag_folder: Path, capsys: Captured
) -> None:
    (dag_folder / "one.py").write_text(
        "# airflow dag\nimport airflow.providers.amazon.aws.hooks.s3\n"
    )
    found = check(capsys, dag_folder)["problems"]
    assert [one["line"] for one in found] == [2, 2]
    assert found[1]["given"] == "'apache-airflow-providers-amazon'"
    assert found[1]["hint"].startswith("add apache-airflow-providers-amazon to")


def test_modules_of_a_namespace_are_of_the_package_that_has_them() -> None:
    assert packages_with("google.protobuf.message.Message") == ("protobuf",)
    assert packages_with("json.decoder") == ()
    assert packages_with("airflow.sdk") == ()
    assert packages_with("no_such_module") is None


def test_the_next_steps_are_those_of_the_cluster(dag_folder: Path, capsys: Captured) -> None:
    cluster = {**CLUSTER, "next_steps": {"pool": "create {name} in the UI"}}
    (dag_folder / "one.py").write_text(bash(pool="lake"))
    (found,) = check(capsys, dag_folder, cluster)["problems"]
    assert found["hint"] == "create lake in the UI"


def test_the_report_for_github_has_the_place_and_the_next_step(
    dag_folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(dag_folder)
    (dag_folder / "one.py").write_text(bash(pool="lake"))
    Path("cluster.json").write_text(json.dumps(CLUSTER))
    assert main(["check", "--format", "github", "--cluster", "cluster.json", "one.py"]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("::error file=one.py,line=4,col=")
    assert "title=sales.tasks.say.pool::the pool 'lake' is not configured" in printed
    assert printed.endswith("%0Acreate it: airflow pools set lake SLOTS DESCRIPTION\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"queues": ["default"]}', "queues: Input should be an object"),
        ('{"quues": {}}', "quues: Extra inputs are not permitted"),
        ('{"pools": {"a": -2}, "variables": [1]}', "variables.0: Input should be a valid string"),
        ('{"next_steps": {"a": ""}}', "next_steps.a"),
        ("{", "Invalid JSON"),
    ],
)
def test_a_description_that_is_not_valid_is_refused(
    text: str, words: str, tmp_path: Path, capsys: Captured
) -> None:
    file = tmp_path / "cluster.json"
    file.write_text(text)
    assert main(["check", "--cluster", str(file), str(tmp_path)]) == 2
    printed = capsys.readouterr().err
    assert f"{file} is not the description of a cluster" in printed
    assert words in printed


def test_a_description_that_is_not_there_is_refused(tmp_path: Path, capsys: Captured) -> None:
    assert main(["check", "--cluster", str(tmp_path / "no.json"), str(tmp_path)]) == 2
    assert "no.json cannot be read: No such file or directory" in capsys.readouterr().err


def test_the_schema_describes_the_file(capsys: Captured) -> None:
    assert main(["schema", "--cluster"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator: Any = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(CLUSTER)
    assert not validator.is_valid({**CLUSTER, "queues": ["default"]})
    assert not validator.is_valid({"quues": {}})


def test_this_interpreter_is_airflow_env(dag_folder: Path, capsys: Captured) -> None:
    """A function that runs in this same Python needs the cluster's packages."""
    text = (
        f"{HEAD}def load():\n    import yaml\n"
        f"build_dag('a', {{'tasks': {{'b': {{'callable': load, 'python': {sys.executable!r}"
        "}}})\n"
    )
    ((path, line, _),) = problems(capsys, dag_folder, text)
    assert (path, line) == ("import yaml", 4)
    other = text.replace(sys.executable, "/opt/other/bin/python")
    assert problems(capsys, dag_folder, other) == []
