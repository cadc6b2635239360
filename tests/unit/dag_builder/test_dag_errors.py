"""Every mistake: its path, its message, what is valid and the suggestion."""

import ast
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Asset, task
from dag_builder.dag_factory.convert import convert
from dag_builder.yaml.documents import read_document, read_documents, read_string

import dag_builder
from dag_builder import DagError, Problem, build_dag, build_dags, dag_of

EMPTY = {"operator": "empty"}
BOMB = "  a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n" + "".join(
    f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 7)
)


def tasks(**entries: Any) -> dict[str, Any]:
    return {"tasks": entries}


def dag(**keys: Any) -> dict[str, Any]:
    return {"tasks": {"a": EMPTY}, **keys}


def clean(extract: list[int]) -> list[int]:
    return extract


def load(rows: int, mode: str = "w") -> None:
    pass


FUNCTIONS = {"clean": clean, "load": load, "number": 3}

#: dictionary → the path of one of its problems, its message, its suggestion or part of `valid`
CASES: list[tuple[dict[str, Any], str, str, str]] = [
    # What is written is used or refused
    (dag(description={"$output": "a"}), "x.description", "this must be text", ""),
    (
        dag(access_control={"v": {"$output": "a"}}),
        "x.access_control.v",
        "a task's output cannot be used here: this is made before any task runs",
        "",
    ),
    (
        dag(params={"p": {"default": 1, "titel": "x"}}),
        "x.params.p.titel",
        "has no 'titel'",
        "title",
    ),
    (dag(params={"p": {"type": "strng"}}), "x.params.p.type", "has no type 'strng'", "string"),
    (
        dag(
            deadline={
                "reference": {"average_runtime": {"max": 3}},
                "interval": "1h",
                "callback": "os.getcwd",
            }
        ),
        "x.deadline.reference.average_runtime.max",
        "an average has no 'max'",
        "max_runs",
    ),
    (dag(schedule="0 6 31 2 *"), "x.schedule", "this cron expression never fires: ", ""),
    (
        tasks(
            g={"tasks": {"rows": EMPTY}},
            h={"tasks": {"rows": EMPTY}},
            load={"upstream": ["g.rows", "h.rows"]},
        ),
        "x.tasks.load",
        "load() takes 'rows', which could be g.rows or h.rows",
        "g.rows",
    ),
    (
        tasks(g={"tasks": {"a": EMPTY}}, b={**EMPTY, "teardown": "g"}),
        "x.tasks.b.teardown[0]",
        "a set-up is a task, and this is a group",
        "g.a",
    ),
    (
        tasks(a={**EMPTY, "on_failure_fail_dagrun": True}),
        "x.tasks.a.on_failure_fail_dagrun",
        "only a teardown can fail the run by its failure",
        "teardown: true",
    ),
    (
        tasks(a={"callable": task(clean), "decorator": "branch"}),
        "x.tasks.a.decorator",
        "the function is decorated with @task already, so 'decorator' has no effect",
        "",
    ),
    (
        tasks(a=BashOperator.partial(task_id="a").expand(bash_command=["x"])),
        "x.tasks.a",
        "a mapped operator that is already made cannot join a DAG",
        "expand",
    ),
    (
        {
            "tasks": {f"t{n}": EMPTY for n in range(42)},
            "chains": [[f"t{n}", f"t{n + 1}", f"t{n}"] for n in range(0, 42, 2)],
        },
        "x.chains[20][2]",
        "there are more than 20 cycles of tasks",
        "",
    ),
    # The whole
    ({"a": EMPTY}, "x", "a full dictionary has the key 'tasks'", "{tasks:"),
    ({"tasks": 3}, "x.tasks", "tasks is a mapping of names to tasks", ""),
    ({"tasks": None}, "x.tasks", "tasks is a mapping of names to tasks", ""),
    ({"tasks": [EMPTY]}, "x.tasks", "tasks is a mapping of names to tasks", ""),
    ({"tasks": {}}, "x.tasks", "there is no task in it", "at least one"),
    (tasks(**{"a b": EMPTY}), 'x.tasks["a b"]', "this is not a valid name for a task", "letters"),
    (dag(for_each=[{"c": 1}]), "x.for_each", "makes many DAGs", "build_dags("),
    (dag(schedule={"cron": ["0 6 * * *"]}), "x.schedule.cron", "this must be text such as", ""),
    (dag(schedule={"crons": "0 6 * * *"}), "x.schedule.crons", "this must be a list", ""),
    (dag(schedule={"dates": "2026-01-01"}), "x.schedule.dates", "this must be a list", ""),
    (
        tasks(a={"operator": "bash", "bash_command": "x", "env": {"$HOME": "/"}}),
        "x.tasks.a.env.$HOME",
        "there is no marker '$HOME'",
        "'$object'",
    ),
    (dag(schedul=None), "x.schedul", "a DAG has no 'schedul'", "schedule"),
    (dag(schedule_interval="@daily"), "x.schedule_interval", "a DAG has no", "schedule"),
    (dag(dag_id="y"), "x.dag_id", "a DAG has no 'dag_id'", ""),
    (dag(timezone="Europe/Pariss"), "x.timezone", "there is no time zone", "Europe/Paris"),
    (
        dag(start_date="2026-02-01", end_date="2026-01-01"),
        "x.end_date",
        "the last moment is before the first",
        "2026-02-01",
    ),
    (dag(doc_md="no.md"), "x.doc_md", "the file cannot be read", "a .md file's path"),
    (
        dag(user_defined_macros=3),
        "x.user_defined_macros",
        "this must be a mapping of names to import paths or values",
        "",
    ),
    (
        dag(start_date="2026-01-01", schedule={"cron": "0 6 * * *", "timezone": "Europe/Pariss"}),
        "x.schedule.timezone",
        "there is no time zone 'Europe/Pariss'",
        "Europe/Paris",
    ),
    (dag(schedule={"crons": None}), "x.schedule.crons", "this must be a list of cron", ""),
    (dag(schedule={"crons": []}), "x.schedule.crons", "this must be a list of cron", ""),
    (dag(schedule={"dates": 3}), "x.schedule.dates", "this must be a list of dates", ""),
    (dag(schedule=float("inf")), "x.schedule", "this is longer than any duration can be", "'90s'"),
    (dag(schedule=float("nan")), "x.schedule", "this is longer than any duration can be", "'90s'"),
    (
        dag(dagrun_timeout="99999999999999999 days"),
        "x.dagrun_timeout",
        "this is longer than any duration can be",
        "",
    ),
    (
        dag(dagrun_timeout={"days": float("inf")}),
        "x.dagrun_timeout",
        "this is longer than any duration can be",
        "",
    ),
    (
        dag(dagrun_timeout="99999999999999999:00:00"),
        "x.dagrun_timeout",
        "this is longer than any duration can be",
        "",
    ),
    (dag(tags={1, "a"}), "x.tags[0]", "this must be text", ""),
    (
        tasks(
            s=EMPTY,
            a={"operator": "bash", "bash_command": {"$output": "s", "key": 1}},
        ),
        "x.tasks.a.bash_command.key",
        "this must be the name of an output",
        "",
    ),
    (
        tasks(
            s=EMPTY,
            g={
                "upstream": ["s"],
                "expand": {"n": [1, 2]},
                "tasks": {"a": {**EMPTY, "trigger_rule": "always"}},
            },
        ),
        "x.tasks.g.upstream[0]",
        "Airflow refuses this: ValueError: Task-generated mapping",
        "",
    ),
    (dag(timezone=3), "x.timezone", "this is not the name of a time zone", "Europe/Paris"),
    (tasks(a={**EMPTY, "weight_rule": 3}), "x.tasks.a.weight_rule", "there is no weight rule", ""),
    (
        dag(deadline={"reference": 3, "interval": 60, "callback": "os.getcwd"}),
        "x.deadline.reference",
        "this is not a reference for a deadline",
        "dagrun_queued_at",
    ),
    (tasks(a={**EMPTY, "upstream": 0}), "x.tasks.a.upstream", "this must be a list of names", ""),
    (
        tasks(a={**EMPTY, "upstream": False}),
        "x.tasks.a.upstream",
        "this must be a list of names",
        "",
    ),
    (
        dag(operator_defaults={"bash": 3}),
        "x.operator_defaults.bash",
        "this must be a mapping of arguments",
        "",
    ),
    (
        tasks(a={"operator": "bash", "expand_kwargs": [{"bash_comand": "date"}]}),
        "x.tasks.a.expand_kwargs[0].bash_comand",
        "BashOperator has no 'bash_comand'",
        "bash_command",
    ),
    (
        tasks(a={"callable": load, "expand_kwargs": [{"rows": 1}, {"row": 1}]}),
        "x.tasks.a.expand_kwargs[1].row",
        "load() has no argument 'row'",
        "rows",
    ),
    (dag(deadline=3), "x.deadline", "this must be {reference:, interval:, callback:}", ""),
    (dag(assets=[]), "x.assets", "this must be a mapping of names to assets", ""),
    (dag(default_args=3), "x.default_args", "this must be a mapping", ""),
    (dag(default_args={"retris": 1}), "x.default_args.retris", "no task takes 'retris'", "retries"),
    (dag(operator_defaults=3), "x.operator_defaults", "this must be a mapping of operators", ""),
    (
        dag(operator_defaults={"empty": {"cwd": "/"}}),
        "x.operator_defaults.empty.cwd",
        "EmptyOperator has no 'cwd'",
        "",
    ),
    # Values
    (dag(description=3), "x.description", "this must be text", ""),
    (dag(catchup="yes"), "x.catchup", "this must be true or false", ""),
    (dag(max_active_runs=0), "x.max_active_runs", "this must be a whole number of 1 or more", ""),
    (dag(tags=3), "x.tags", "this must be a list of names", ""),
    (dag(tags=["a", 3]), "x.tags[1]", "this must be text", ""),
    (dag(owner_links=3), "x.owner_links", "this must be a mapping", ""),
    (dag(user_defined_macros=3), "x.user_defined_macros", "mapping of names to import paths", ""),
    (dag(params=3), "x.params", "this must be a mapping of names to values or schemas", ""),
    (
        dag(params={"n": {"default": "a", "type": "integer"}}),
        "x.params.n.default",
        "the default does not fit: ",
        "",
    ),
    (dag(allowed_run_types=["schedule"]), "x.allowed_run_types[0]", "there is no run type", "sch"),
    (
        dag(dagrun_timeout="5 parsecs"),
        "x.dagrun_timeout",
        "'parsecs' is not a unit of time",
        "1h30m",
    ),
    (dag(dagrun_timeout="soon"), "x.dagrun_timeout", "this is not a duration", "1h30m"),
    (dag(dagrun_timeout=True), "x.dagrun_timeout", "cannot be true or false", ""),
    (dag(dagrun_timeout=[]), "x.dagrun_timeout", "this is not a duration", ""),
    (dag(dagrun_timeout={"hour": 1}), "x.dagrun_timeout", "'hour' is not a unit of time", ""),
    (dag(dagrun_timeout={"hours": "1"}), "x.dagrun_timeout", "parts of a duration are num", ""),
    (dag(start_date="1 January"), "x.start_date", "this is not a date", "2026-01-31"),
    (dag(start_date=3), "x.start_date", "this is not a date", ""),
    (dag(start_date="yesterday"), "x.start_date", "a date that moves with the clock", ""),
    (
        dag(on_failure_callback={"to": "a"}),
        "x.on_failure_callback",
        "this must be an import pa",
        "",
    ),
    (dag(on_failure_callback="os.sep"), "x.on_failure_callback", "this cannot be called", ""),
    (dag(on_failure_callback="tell"), "x.on_failure_callback", "no function named 'tell'", "clean"),
    (dag(description={"$object": "os.sep"}), "x.description", "refuses this: TypeError", ""),
    # Schedules and assets
    (dag(schedule="daily"), "x.schedule", "this is not a valid schedule", "@daily"),
    (dag(schedule="None"), "x.schedule", "this is not a valid schedule", "cron"),
    (dag(schedule="0 25 * * *"), "x.schedule", "this is not a valid schedule", "cron"),
    (dag(schedule="@dayly"), "x.schedule", "there is no preset '@dayly'", "@daily"),
    (dag(schedule=True), "x.schedule", "this is not a valid schedule", "cron"),
    (dag(schedule={"corn": "* * * * *"}), "x.schedule", "this mapping is not a schedule", "cron"),
    (
        dag(schedule={"cron": "* * * *"}),
        "x.schedule.cron",
        "this is not a valid cron expression: ",
        "",
    ),
    (dag(schedule={"cron": "0 6 * * *", "tz": "UTC"}), "x.schedule.tz", "with 'cron' has no", "t"),
    (dag(schedule=[]), "x.schedule", "a condition needs at least one asset", ""),
    (dag(schedule={"any": "a"}), "x.schedule", "'any' is the only key of a condition", "all"),
    (dag(schedule=[3]), "x.schedule[0]", "this is not an asset", "URI"),
    (
        dag(schedule=[{"name": "a", "watchers": {"w": {"triger": "a.b"}}}]),
        "x.schedule[0].watchers.w",
        "this must be {watchers: {name: {trigger: package.Trigger, argument: value}}}",
        "",
    ),
    (
        dag(schedule=[{"name": "a", "watchers": {"w": {"trigger": "datetime.nope"}}}]),
        "x.schedule[0].watchers.w.trigger",
        "'datetime' has nothing named 'nope'",
        "",
    ),
    (
        dag(schedule=[{"name": "a", "watchers": {"w": {"trigger": "datetime.date", "x": 1}}}]),
        "x.schedule[0].watchers.w",
        "date refuses this: TypeError",
        "",
    ),
    (
        tasks(a={**EMPTY, "outlets": {"nam": "a"}}),
        "x.tasks.a.outlets.nam",
        "an asset has no",
        "name",
    ),
    (dag(deadline={"interval": "1h"}), "x.deadline", "a deadline needs 'reference'", "callback"),
    (dag(deadline={"every": 1}), "x.deadline.every", "a deadline has no 'every'", ""),
    (
        dag(deadline={"reference": "queued", "interval": "1h", "callback": "os.getcwd"}),
        "x.deadline.reference",
        "this is not a reference for a deadline",
        "dagrun_queued_at",
    ),
    # Notify
    (dag(notify={"email": "a@x"}), "x.notify.on", "notify needs 'on'", "deadline"),
    (dag(notify={"on": "failure"}), "x.notify", "notify needs someone to notify", "email"),
    (dag(notify={"on": "failure", "mail": "a@x"}), "x.notify.mail", "notify has no", "email"),
    (dag(notify={"on": "fail", "email": "a"}), "x.notify.on", "no event 'fail'", "failure"),
    (
        dag(notify={"on": "deadline", "email": "a@x"}),
        "x.notify",
        "the DAG has no deadline that a run could miss",
        "beside notify",
    ),
    (
        tasks(a={**EMPTY, "notify": {"on": "deadline", "email": "a@x"}}),
        "x.tasks.a.notify.on",
        "a task has no deadline",
        "'failure', 'success', 'retry', 'skipped'",
    ),
    (
        dag(notify={"on": "failure", "email": {"to": "a@x", "subjekt": "s"}}),
        "x.notify.email.subjekt",
        "email has no 'subjekt'",
        "subject",
    ),
    (dag(notify={"on": "failure", "slack": {}}), "x.notify.slack", "slack needs 'channel'", "text"),
    # What makes a task
    (
        tasks(a={"operator": "bahs"}),
        "x.tasks.a.operator",
        "there is not an operator 'bahs'",
        "bash",
    ),
    (tasks(a={"operator": 3}), "x.tasks.a.operator", "3 is not an operator", "BaseOperator"),
    (tasks(a={"operator": []}), "x.tasks.a.operator", "this is not an operator", "short name"),
    (tasks(a={"operator": "os.getcwd"}), "x.tasks.a.operator", "getcwd is not an operator", "Base"),
    (
        tasks(a={"operator": "os.getcwdd"}),
        "x.tasks.a.operator",
        "'os' has nothing named",
        "os.getcwd",
    ),
    (tasks(a={"operator": "oss.a"}), "x.tasks.a.operator", "there is no module 'oss'", "os.a"),
    (
        tasks(a={"operator": "airflow.sdkk.DAG"}),
        "x.tasks.a.operator",
        "'airflow' has nothing named 'sdkk'",
        "airflow.sdk.DAG",
    ),
    (tasks(a={"operator": "a.b c"}), "x.tasks.a.operator", "is not an import path", "module.name"),
    (tasks(a={"callable": "broken_module.f"}), "x.tasks.a.callable", "importing 'broken_mod", ""),
    (tasks(clan=[]), "x.tasks.clan", "task 'clan' is not defined", "clean"),
    (tasks(number=[]), "x.tasks.number", "this is not a task", "a function"),
    (tasks(a={**EMPTY, "callable": "os.getcwd"}), "x.tasks.a.callable", "not both", ""),
    (
        tasks(a={"callable": "load", "decorator": "brunch", "arguments": {"rows": 1}}),
        "x.tasks.a.decorator",
        "there is not a decorator @task.brunch",
        "branch",
    ),
    (
        tasks(a={"callable": "load", "decorator": 3}),
        "x.tasks.a.decorator",
        "is not a decorator",
        "py",
    ),
    (
        tasks(a={"callable": "load", "python": "3.13"}),
        "x.tasks.a.python",
        "this is not a Python interpreter",
        "air",
    ),
    (
        tasks(a={"callable": "load", "python": "/p", "decorator": "sensor"}),
        "x.tasks.a.python",
        "a function of kind 'sensor' cannot run in another Python",
        "branch",
    ),
    # Its arguments
    (tasks(a={"operator": "bash"}), "x.tasks.a", "BashOperator needs 'bash_command'", ""),
    (
        tasks(a={"operator": "bash", "bash_comand": "x"}),
        "x.tasks.a.bash_comand",
        "BashOperator has no 'bash_comand'",
        "bash_command",
    ),
    (tasks(a={**EMPTY, "depends_on": "b"}), "x.tasks.a.depends_on", "has no", "upstream"),
    (tasks(a={**EMPTY, "task_id": "b"}), "x.tasks.a.task_id", "has no 'task_id'", ""),
    (tasks(a={**EMPTY, "retries": "3"}), "x.tasks.a.retries", "this must be a whole number", ""),
    (
        tasks(a={**EMPTY, "trigger_rule": "all_don"}),
        "x.tasks.a.trigger_rule",
        "there is no trigger rule 'all_don'",
        "all_done",
    ),
    (
        tasks(a={**EMPTY, "weight_rule": "up"}),
        "x.tasks.a.weight_rule",
        "there is no weight rule",
        "up",
    ),
    (tasks(a={**EMPTY, "arguments": {}}), "x.tasks.a.arguments", "is for a Python function", ""),
    (
        tasks(load={"arguments": {"row": 1}}),
        "x.tasks.load.arguments.row",
        "load() has no arg",
        "rows",
    ),
    (tasks(load={"rows": 1}), "x.tasks.load.rows", "arguments of load() belong in", "{arguments"),
    (tasks(load={"arguments": 3}), "x.tasks.load.arguments", "this must be a mapping", ""),
    (
        tasks(load=[]),
        "x.tasks.load",
        "load() needs 'rows', which no task or argument provides",
        "upstream",
    ),
    (tasks(a={**EMPTY, "default_args": 3}), "x.tasks.a.default_args", "this must be a mapping", ""),
    (tasks(a={**EMPTY, "setup": 3}), "x.tasks.a.setup", "this must be true or false", ""),
    (tasks(a={**EMPTY, "doc": {"$outptu": "b"}}), "x.tasks.a.doc", "this must be text", ""),
    (
        tasks(a={"operator": "bash", "bash_command": {"$outptu": "b"}}),
        "x.tasks.a.bash_command.$outptu",
        "there is no marker '$outptu'",
        "$output",
    ),
    (
        tasks(a={"operator": "bash", "bash_command": {"$output": "b", "keys": "c"}}, b=EMPTY),
        "x.tasks.a.bash_command.keys",
        "$output has no 'keys'",
        "key",
    ),
    (
        tasks(a={"operator": "bash", "bash_command": {"$env": "NO_SUCH_VARIABLE"}}),
        "x.tasks.a.bash_command.$env",
        "the environment variable 'NO_SUCH_VARIABLE' is not set",
        "default",
    ),
    (
        tasks(a={"operator": "bash", "bash_command": {"$zip": 3}}),
        "x.tasks.a.bash_command.$zip",
        "this must be a list of two or more",
        "",
    ),
    (
        tasks(a={"operator": "bash", "bash_command": "x", "cwd": "y", "pool": "p", "queue": 3}),
        "x.tasks.a.queue",
        "this must be text",
        "",
    ),
    (
        tasks(a=EMPTY, b={"operator": "bash", "bash_command": "x", "append_env": {"$output": "a"}}),
        "x.tasks.b.append_env",
        "BashOperator cannot take a task's output as 'append_env'",
        "bash_command",
    ),
    (tasks(a={**EMPTY, "pool_slots": True}), "x.tasks.a.pool_slots", "1 or more", ""),
    # Mapping
    (
        tasks(load={"expand": {"rows": [1]}, "expand_kwargs": [{"rows": 1}]}),
        "x.tasks.load.expand_kwargs",
        "there can be 'expand' or 'expand_kwargs', not both",
        "",
    ),
    (
        tasks(load={"expand": []}),
        "x.tasks.load.expand",
        "must be a mapping of arguments to",
        "file",
    ),
    (
        tasks(load={"expand": {"rows": 3}}),
        "x.tasks.load.expand.rows",
        "cannot be expanded over",
        "",
    ),
    (tasks(load={"expand_kwargs": 3}), "x.tasks.load.expand_kwargs", "cannot be expanded over", ""),
    (
        tasks(a={"operator": "bash", "bash_command": {"$argument": "file"}}),
        "x.tasks.a.bash_command",
        "no group around this is expanded over 'file'",
        "a group with 'expand'",
    ),
    (
        tasks(
            a={
                "operator": "bash",
                "partial": {"bash_comand": "x"},
                "expand": {"env": [{"A": "1"}]},
            }
        ),
        "x.tasks.a.partial.bash_comand",
        "BashOperator has no 'bash_comand'",
        "bash_command",
    ),
    (
        tasks(a={**EMPTY, "weight_rule": "nowhere.Rule"}),
        "x.tasks.a.weight_rule",
        "there is no module 'nowhere'",
        "",
    ),
    (
        dag(schedule={"dates": ["2026-01-01", "soon"]}),
        "x.schedule.dates[1]",
        "this is not a date",
        "",
    ),
    (dag(schedule={"every": "often"}), "x.schedule.every", "this is not a duration", ""),
    (
        dag(on_failure_callback={"callback": "no.such"}),
        "x.on_failure_callback.callback",
        "there is no module 'no'",
        "",
    ),
    # Groups
    (
        tasks(g={"tasks": {"a": EMPTY}, "tolltip": "x"}),
        "x.tasks.g.tolltip",
        "a group has no",
        "tool",
    ),
    (tasks(g={"tasks": 3}), "x.tasks.g.tasks", "this must be a mapping of names to tasks", ""),
    (tasks(**{"a.b": {"tasks": {"a": EMPTY}}}), 'x.tasks["a.b"]', "a group's name has no dots", ""),
    (
        tasks(a=EMPTY, g={"prefix_group_id": False, "tasks": {"a": EMPTY}}),
        "x.tasks.g.tasks.a",
        "the DAG has 'a' twice",
        "",
    ),
    (
        tasks(g={"tasks": {"a": EMPTY}}, load={"arguments": {"rows": {"$output": "g"}}}),
        "x.tasks.load.arguments.rows",
        "a group has no output; name one of its tasks",
        "'g.a'",
    ),
    # Order
    (tasks(a={**EMPTY, "upstream": ["b"]}), "x.tasks.a.upstream[0]", "no task or group 'b'", "a"),
    (tasks(a={**EMPTY, "upstream": 3}), "x.tasks.a.upstream", "this must be a list of names", ""),
    (
        tasks(a={**EMPTY, "upstream": [3]}),
        "x.tasks.a.upstream[0]",
        "this does not name a task",
        "label",
    ),
    (dag(chains=3), "x.chains", "this is not a chain", ">>"),
    (dag(chains=["a", 3]), "x.chains[1]", "this does not name a task", "a name"),
    (dag(chains="a >> b"), "x.chains[1]", "there is no task or group 'b'", "a"),
    (
        tasks(
            a={**EMPTY, "upstream": "c"}, b={**EMPTY, "upstream": "a"}, c={**EMPTY, "upstream": "b"}
        ),
        "x.tasks.c.upstream",
        "the tasks depend on each other in a cycle: ",
        "",
    ),
    # What Airflow refuses
    (dag(catchup=True, schedule="@daily"), "x.catchup", "Airflow refuses this: ValueError", ""),
    (
        tasks(a={"operator": "file_sensor", "filepath": "x", "mode": "pok"}),
        "x.tasks.a",
        "FileSensor refuses this: ",
        "",
    ),
]


@pytest.fixture(scope="session", autouse=True)
def broken_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("modules")
    (folder / "broken_module.py").write_text("import does_not_exist_anywhere\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield


def problems_of(dictionary: dict[str, Any]) -> tuple[Problem, ...]:
    with pytest.raises(DagError) as caught:
        dag_of("x", dictionary, FUNCTIONS)
    return caught.value.problems


@pytest.mark.parametrize(
    ("dictionary", "where", "message", "help_"),
    CASES,
    ids=[f"{case[1]}: {case[2]}" for case in CASES],
)
def test_mistake(dictionary: dict[str, Any], where: str, message: str, help_: str) -> None:
    problems = problems_of(dictionary)
    at = [problem for problem in problems if problem.where == where]
    assert at, [str(problem) for problem in problems]
    [problem] = [problem for problem in at if message in problem.message]
    assert help_ in f"{problem.suggestion} {problem.valid}"


def test_likeliest_name_is_suggested() -> None:
    [problem] = problems_of(
        {"tasks": {"extract": EMPTY, "load": {**EMPTY, "upstream": ["extrct"]}}}
    )
    assert str(problem) == (
        "x.tasks.load.upstream[0]\n"
        "    there is no task or group 'extrct'\n"
        "    given: 'extrct'\n"
        "    valid: 'extract', 'load'\n"
        "    did you mean 'extract'?"
    )


def test_all_mistakes_are_reported_at_once() -> None:
    problems = problems_of(
        {
            "schedul": "@daily",
            "start_date": "soon",
            "tasks": {
                "a": {"operator": "bahs"},
                "b": {**EMPTY, "upstream": ["a", "c"], "retries": "2"},
            },
        }
    )
    assert [problem.where for problem in problems] == [
        "x.schedul",
        "x.start_date",
        "x.tasks.a.operator",
        "x.tasks.b.retries",
        "x.tasks.b.upstream[1]",
    ]


FILE_SENSOR = "airflow.providers.standard.sensors.filesystem.FileSensor"


def places_of(dictionary: dict[str, Any]) -> set[str]:
    return {problem.where for problem in problems_of(dictionary)}


def test_what_airflow_refuses_is_reported_with_what_the_builder_refuses() -> None:
    """Of the DAG's own keys and of each task: neither waits for the others to be fixed."""
    wrong_mode = {"operator": FILE_SENSOR, "filepath": "x", "mode": "pok"}
    tasks = {"a": {"operator": "bash", "bash_comand": "x"}, "w": wrong_mode}
    no_start = {"schedule": "@daily", "catchup": True}
    assert places_of({"schedul": "@daily", **no_start, "tasks": tasks}) == {
        "x.schedul",
        "x.catchup",
        "x.tasks.a.bash_comand",
        "x.tasks.w",
    }
    assert places_of({**no_start, "tasks": {"w": wrong_mode}}) == {"x.catchup", "x.tasks.w"}


def test_what_follows_from_a_mistake_is_not_reported_as_another() -> None:
    no_start = {"start_dat": "2026-01-01", "schedule": "@daily", "catchup": True}
    assert places_of({**no_start, "tasks": {"a": {"operator": "empty"}}}) == {"x.start_dat"}


def test_circles_are_shown_and_each_of_them() -> None:
    problems = problems_of(
        tasks(
            a={**EMPTY, "upstream": "c"},
            b={**EMPTY, "upstream": "a"},
            c={**EMPTY, "upstream": "b"},
            d={**EMPTY, "upstream": "d"},
        )
    )
    circles = {problem.message.rpartition(": ")[2] for problem in problems}
    assert "d → d" in circles
    assert circles & {"a → b → c → a", "b → c → a → b", "c → a → b → c"}


def test_circles_that_share_a_task_are_reported_one_by_one() -> None:
    problems = problems_of(
        tasks(
            a={**EMPTY, "upstream": ["b", "c"]},
            b={**EMPTY, "upstream": "a"},
            c={**EMPTY, "upstream": "a"},
        )
    )
    circles = [set(problem.message.rpartition(": ")[2].split(" → ")) for problem in problems]
    assert sorted(map(sorted, circles)) == [["a", "b"], ["a", "c"]]


def test_a_fan_that_goes_back_to_its_start_is_one_circle() -> None:
    fan = {name: {**EMPTY, "upstream": "a"} for name in ("b", "c", "d")}
    [problem] = problems_of(
        tasks(a={**EMPTY, "upstream": "e"}, **fan, e={**EMPTY, "upstream": list(fan)})
    )
    assert "a" in problem.message


def test_group_in_a_circle() -> None:
    [problem] = problems_of(
        tasks(a={**EMPTY, "upstream": "g"}, g={"tasks": {"b": {**EMPTY, "upstream": "a"}}})
    )
    assert set(problem.message.rpartition(": ")[2].split(" → ")) == {"a", "g", "g.b"}


# Mistakes that are not in a dictionary


def _two_dags_of_one_id() -> None:
    build_dag("twice", {"tasks": {"a": EMPTY}})
    build_dag("twice", {"tasks": {"a": EMPTY}})


def _option_and_key() -> None:
    build_dag("x", {"schedule": None, "tasks": {"a": EMPTY}}, schedule="@daily")


def _operator(name: str, *, in_dag: bool = False) -> Any:
    from airflow.providers.standard.operators.empty import EmptyOperator

    operator = EmptyOperator(task_id=name)
    if in_dag:
        operator.dag = DAG("other", schedule=None)
    return operator


def _converted(**keys: Any) -> Any:
    return convert({"x": keys})


OTHERS: list[tuple[Callable[[], Any], str, str]] = [
    (lambda: convert({"datasets": []}), "this is not a DAG of dag-factory", "datasets"),
    (
        lambda: convert({"services": {"web": {"image": "x"}}}),
        "none of its mappings has a key of a DAG: this is not a file of dag-factory",
        "the file",
    ),
    (lambda: convert({}), "a file of dag-factory is a mapping of DAGs by their names", "the file"),
    (lambda: _converted(tasks=3), "'tasks' are a mapping or a list", "x.tasks"),
    (lambda: _converted(tasks={"a": 3}), "this must be a mapping of keys", "x.tasks.a"),
    (
        lambda: _converted(tasks=[{}]),
        "an item of a list has its name under 'task_id'",
        "x.tasks[0]",
    ),
    (
        lambda: _converted(tasks=[{"task_id": "a"}, {"task_id": "a"}]),
        "'a' is there twice",
        "x.tasks[1].task_id",
    ),
    (
        lambda: _converted(tasks={"a": {"dependencies": [[]]}}),
        "this is not the name of a task",
        "x.tasks.a.dependencies[0]",
    ),
    (
        lambda: _converted(tasks={"a": {"task_group_name": "g"}}),
        "there is no task group 'g'",
        "x.tasks.a.task_group_name",
    ),
    (
        lambda: _converted(tasks={"a": {"variables_as_arguments": [3]}}),
        "this does not name a variable and an argument",
        "x.tasks.a.variables_as_arguments[0]",
    ),
    (
        lambda: _converted(task_groups={"g": {"parent_group_name": "g"}}),
        "the groups contain each other in a cycle: g in g",
        "x.task_groups.g.parent_group_name",
    ),
    (lambda: _converted(default_args={True: 3}), "a key is a word", "x.default_args.True"),
    (lambda: dag_of("a b", {"tasks": {"a": EMPTY}}), "this is not a valid name for a DAG", "a b"),
    (lambda: dag_of("x", 3), "a DAG is a dictionary", "x"),  # type: ignore[arg-type]
    (lambda: build_dag("x", {"a": []}, tasks="no_such_module"), "tasks='no_such_module': ", "x"),
    (lambda: build_dag("x", {"a": []}, tasks=3), "tasks= gives no tasks by their names", "x"),  # type: ignore[arg-type]
    (lambda: build_dag("x", {"a": []}, ["f"]), "tasks= gives no tasks by their names", "x"),  # type: ignore[arg-type]
    (lambda: build_dag("x", {"a": []}, "os.path.join"), "tasks= gives no tasks by their", "x"),
    (lambda: build_dag("x", {"a": []}, tasks=""), "tasks='': '' is not an import path", "x"),
    (lambda: build_dag("x", dag(), defaults=3), "defaults= is a mapping of a DAG's keys", "x"),  # type: ignore[arg-type]
    (
        lambda: build_dags("x", {"tasks": {"${c}": EMPTY}}, [{"c": [1]}]),
        "this is not a valid name for a key",
        'x.tasks["${c}"]',
    ),
    (_two_dags_of_one_id, "this file has two DAGs with the id 'twice'", "twice"),
    (_option_and_key, "'schedule' is in the dictionary and an argument", "build_dag.schedule"),
    (lambda: dag_of("x", {"a": []}, {"a": _operator("b")}), "the operator's task_id is 'b'", ""),
    (
        lambda: dag_of("x", {"a": []}, {"a": _operator("a", in_dag=True)}),
        "the operator is already in DAG 'other'",
        "",
    ),
    (
        lambda: dag_of("x", tasks(a={"retries": 3}), {"a": _operator("a")}),
        "an operator that is already made takes no more arguments",
        "x.tasks.a.retries",
    ),
    (
        lambda: dag_of("x", tasks(a=None, g={"tasks": {"a": None}}), {"a": _operator("a")}),
        "the same operator is x.tasks.a already, and can be one task only",
        "x.tasks.g.tasks.a",
    ),
    (lambda: build_dags("x", {}, "abc"), "these are not sets of parameters", "x.for_each"),  # type: ignore[arg-type]
    (lambda: build_dags("x", {}, ["abc"]), "this must be a mapping", "x.for_each[0]"),  # type: ignore[list-item]
    (lambda: build_dags("x", {}, {"c": "fr"}), "this must be a list", "x.for_each.c"),
    (
        lambda: build_dags("x_${contry}", dag(), [{"country": "fr"}]),
        "there is no parameter 'contry'; for a shell's write $${contry}",
        "x_${contry}",
    ),
    (
        lambda: build_dags("x", dag(), [{"c": 1}, {"c": 2}]),
        "2 sets of parameters make the same DAG 'x'",
        "x",
    ),
]


@pytest.mark.parametrize(("make", "message", "where"), OTHERS, ids=[o[1] for o in OTHERS])
def test_mistake_outside_of_a_dictionary(make: Callable[[], Any], message: str, where: str) -> None:
    with pytest.raises(DagError) as caught:
        make()
    [problem] = [p for p in caught.value.problems if message in p.message]
    assert where in problem.where


YAML_CASES = [
    ("dags:\n  x:\n    tasks: {a: {operator: empt}}\n", "there is not an operator", 3, 27),
    ("dag_id: x\ntasks:\n  a:\n    operator: empty\n    retris: 3\n", "has no 'retris'", 5, 5),
    ("dag_id: x\ntasks:\n  a: {operator: empty}\n  a: {operator: empty}\n", "there twice", 4, 3),
    ("dag_id: x\n  tasks: [\n", "this is not valid YAML: ", 2, 8),
    ("dag_id: x\ntasks:\n  a: {retries: !!int abc}\n", "YAML's tag !!int cannot be read", 3, 16),
    ("dag_id: x\ntags: !!timestamp abc\n", "YAML's tag !!timestamp cannot be read", 2, 7),
    ("dag_id: x\ntags: &t [*t]\n", "an alias is inside of the value that it refers to", 2, 7),
    ("dag_id: x\nparams: &t {a: *t}\n", "an alias is inside of the value that it refers to", 2, 9),
    ("dag_id: x\ntasks:\n  a:\n    <<: 3\n", "'<<' merges a mapping", 4, 9),
    (f"dag_id: x\nparams:\n{BOMB}", "its aliases expand to more than 200,000 values", 1, 1),
    (
        "dag_id: 'x_${c}'\nfor_each: [{c: a}]\ntasks:\n  '${c}': {operator: empty}\n  a: []\n",
        "the key 'a' is there twice with these parameters",
        5,
        3,
    ),
    ("dags: {}\n", "there is no DAG in it", 1, 7),
    (
        "dag_id: x\nfor_each: []\ntasks: {a: []}\n",
        "there is no set of parameters in it, so it makes",
        2,
        11,
    ),
    ("defaults: [3]\ndags:\n  x: {a: []}\n", "defaults are a mapping of a DAG's keys", 1, 11),
    (
        "defaults:\n  schedul: null\ndags:\n  x:\n    tasks: {a: {operator: empty}}\n",
        "a DAG has no 'schedul'",
        2,
        3,
    ),
    (
        "dag_id: x\ntasks:\n  a: {operator: emtpy}\n  a: {operator: emtpy}\n",
        "there is not an operator 'emtpy'",
        4,
        17,
    ),
    ("- a\n- b\n", "a file of DAGs is a mapping", 1, 1),
    ("dags:\n", "'dags' is a mapping of DAGs by their ids", 1, 6),
    ("x:\n  tasks: {a: {operator: empty}}\n", "the file does not name a DAG", 1, 1),
    (
        "dags: {x: {tasks: {a: {operator: empty}}}}\ndefault: {}\n",
        "a file with 'dags' has no",
        2,
        1,
    ),
    (
        "dag_id: x\ntasks:\n  a:\n    operator: empty\n    upstream:\n      - b\n",
        "there is no task or group 'b'",
        6,
        9,
    ),
    (
        "dag_id: x_${c}\nfor_each: {c: [1]}\ntasks:\n  a: {operator: bash, bash_command: '${d}'}\n",
        "there is no parameter 'd'",
        4,
        37,
    ),
]


@pytest.mark.parametrize(("text", "message", "line", "column"), YAML_CASES)
def test_mistake_in_yaml_has_line_and_column(
    text: str, message: str, line: int, column: int
) -> None:
    from dag_builder.builder import dags_of_document

    problems: list[Problem] = []
    dags_of_document(read_string(text, "x.yaml"), FUNCTIONS, problems)
    [problem] = [p for p in problems if message in p.message]
    assert str(problem.position) == f"x.yaml, line {line}, column {column}"


def test_missing_yaml_files(tmp_path: Path) -> None:
    (tmp_path / "sales.yaml").write_text("")
    [problem] = read_document(tmp_path / "sale.yaml", top=tmp_path).problems
    assert problem.message.startswith("the file cannot be read: ")
    assert problem.suggestion == "sales.yaml"
    (tmp_path / "empty").mkdir()
    [document] = read_documents(tmp_path / "empty", top=tmp_path)
    assert document.problems[0].message == "there is no YAML file of DAGs in this folder"
    for name in ("defaults.yaml", "defaults.yml"):
        (tmp_path / name).write_text("owner: me")
    (tmp_path / "sales.yaml").write_text("dag_id: x\ntasks: {a: {operator: empty}}\n")
    [entry] = read_document(tmp_path / "sales.yaml", top=tmp_path).dags
    assert entry.problems[0].message.startswith("the folder has both defaults.yaml and")


def test_dag_factory_file_is_recognised() -> None:
    document = read_string("x:\n  tasks: {a: {operator: empty}}\n")
    assert "dag-builder import" in document.problems[0].hint


def test_error_can_be_pickled() -> None:
    import pickle

    error = DagError(problems_of({"tasks": {}}))
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301


# No message without a test


def _messages_in_source() -> Iterator[tuple[str, str]]:
    """The longest fixed part of each message in the library's source."""
    for file in Path(dag_builder.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if name in {"add", "add_unknown"} and len(node.args) > 1:
                message: ast.expr | None = node.args[1]
            elif isinstance(node.func, ast.Name) and node.func.id == "Problem":
                message = next((k.value for k in node.keywords if k.arg == "message"), None)
            else:
                continue
            parts = (
                [message] if isinstance(message, ast.Constant) else getattr(message, "values", [])
            )
            fixed = [str(p.value) for p in parts if isinstance(p, ast.Constant)]
            if fixed:
                yield file.name, max(fixed, key=len)


CLUSTER_MESSAGES = [
    "no worker of the cluster serves the queue ",
    " gives it when it stops: then it is cut off",
    " of the cluster has fewer slots than the task takes, so the task would wait forever",
    " is not configured on the cluster",
    "the cluster does not have the package ",
    ", so the cluster is not checked for it: install its package where you run the check",
]
"""Those of a check against a cluster: test_dag_cluster.py asserts them."""


def test_every_message_is_asserted() -> None:
    printed = [problem.message for case in CASES for problem in problems_of(case[0])]
    for make, _, _ in OTHERS:
        with pytest.raises(DagError) as caught:
            make()
        printed.extend(problem.message for problem in caught.value.problems)
    asserted = [
        *printed,
        *(case[1] for case in YAML_CASES),
        "the file cannot be read: ",
        "this release of  cannot send for a deadline",  # test_dag_notify.py
        *CLUSTER_MESSAGES,
        "there is no YAML file of DAGs in this folder",
        "a file with 'dags' has no ",
        "building this DAG fails: ",
        "the folder has both ",
        "there is no set of parameters in it, so it makes no DAG",
    ]
    messages = list(_messages_in_source())
    assert len(messages) > 80
    missing = [(file, text) for file, text in messages if not any(text in one for one in asserted)]
    assert not missing


def test_asset_objects_are_taken_as_they_are() -> None:
    asset = Asset("orders")
    built = dag_of("x", tasks(a={**EMPTY, "outlets": [asset]}))
    assert built.get_task("a").outlets == [asset]


def test_namespace_may_be_a_module(module: types.ModuleType) -> None:
    module.extract = clean  # type: ignore[attr-defined]
    with pytest.raises(DagError, match="module 'sales' has nothing of this name"):
        dag_of("x", {"extrac": []}, module)


def test_wrong_name_upstream_is_one_mistake_even_if_a_function_needs_it() -> None:
    def use(clean: int, other: int) -> int:
        return clean + other

    tasks_ = {"clean": EMPTY, "use": {"callable": use, "upstream": ["claen"]}}
    printed = [problem.message for problem in problems_of({"tasks": tasks_})]
    assert printed == [
        "there is no task or group 'claen'",
        "use() needs 'other', which no task or argument provides",
    ]


@pytest.mark.parametrize("dags", ["", " []", "\n  - tasks: {a: []}"])
def test_a_file_with_null_for_its_dags(dags: str) -> None:
    (problem,) = read_string(f"dags:{dags}\n", "f").problems
    assert problem.where == "f.dags"
    assert problem.message == "'dags' is a mapping of DAGs by their ids"
    assert problem.suggestion == ""


def test_a_file_that_is_not_in_utf_8(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"dag_id: x\n# caf\xe9\n")
    (problem,) = read_document(tmp_path / "a.yaml", top=tmp_path).problems
    assert problem.message == "the file cannot be read: it is not in UTF-8 (line 2, byte 0xe9)"
    assert problem.suggestion == ""


def test_a_key_with_a_dollar_sign_has_a_way() -> None:
    [problem] = problems_of({"tasks": {"a": {**EMPTY, "executor_config": {"$set": 1}}}})
    assert "two here: '$$set'" in problem.hint
