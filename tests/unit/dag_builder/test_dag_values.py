"""What values in a dictionary become."""

import datetime as dt
import functools
import types
from pathlib import Path
from typing import Any, get_type_hints

import airflow
import pytest
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import (
    DAG,
    AssetAlias,
    CronTriggerTimetable,
    DeltaTriggerTimetable,
    MultipleCronTriggerTimetable,
    task,
)
from airflow.timetables.events import EventsTimetable
from dag_builder.fields import (
    DAG_FIELDS,
    DAG_OWN_FIELDS,
    GROUP_FIELDS,
    NOTIFY_KEYS,
    TASK_FIELDS,
    TASK_OWN_FIELDS,
)
from dag_builder.read.keys import dag_keys
from dag_builder.read.notifications import TARGETS
from dag_builder.read.operators import DECORATORS, OPERATORS, decorator_signature, signature_of
from dag_builder.read.times import duration, moment
from dag_builder.typing import ArgumentsDict, DagDict, GroupDict, NotifyDict, TaskDict
from dag_builder.yaml.schema import json_schema
from dag_builder.yaml.source import read_text
from hypothesis import given
from hypothesis import strategies as st

from dag_builder import argument, build_dag, build_dags, dag_of, output, register_operator

EMPTY = {"operator": "empty"}


def one(dictionary: dict[str, Any], tasks: Any = None) -> Any:
    """The task named ``a`` of a DAG."""
    return dag_of("x", {"tasks": dictionary}, tasks).get_task("a")


def dag(**keys: Any) -> DAG:
    return dag_of("x", {"tasks": {"a": EMPTY}, **keys})


DURATIONS: list[tuple[object, float]] = [
    (90, 90),
    (1.5, 1.5),
    ("90s", 90),
    ("90 seconds", 90),
    ("5m", 300),
    ("5 min", 300),
    ("1h30m", 5400),
    ("1 hour, 30 minutes", 5400),
    ("2 days", 172800),
    ("1w", 604800),
    ("250ms", 0.25),
    ("0.5h", 1800),
    ("00:05:00", 300),
    ("30:00:01", 108001),
    ({"hours": 1, "minutes": 5}, 3900),
    (dt.timedelta(seconds=3), 3),
]


@pytest.mark.parametrize(("given_", "seconds"), DURATIONS)
def test_durations(given_: object, seconds: float) -> None:
    assert duration(given_).total_seconds() == seconds


@given(st.timedeltas(min_value=dt.timedelta(0), max_value=dt.timedelta(days=999)))
def test_any_duration_can_be_written(length: dt.timedelta) -> None:
    whole = dt.timedelta(seconds=int(length.total_seconds()))
    seconds = int(whole.total_seconds())
    text = f"{seconds // 86400}d{seconds % 86400 // 3600}h{seconds % 3600 // 60}m{seconds % 60}s"
    assert duration(text) == whole
    assert duration(f"{seconds // 3600}:{seconds % 3600 // 60:02}:{seconds % 60:02}") == whole


@pytest.mark.parametrize(
    "given_",
    ["2026-01-31", "2026-01-31 00:00", dt.date(2026, 1, 31), dt.datetime(2026, 1, 31)],  # noqa: DTZ001
)
def test_moments_are_in_the_dag_s_time_zone(given_: object) -> None:
    found = moment(given_, "Europe/Paris")
    assert found.isoformat() == "2026-01-31T00:00:00+01:00"


def test_moment_with_an_offset_keeps_it() -> None:
    assert moment("2026-01-31T06:00:00+05:00", "Europe/Paris").utcoffset() == dt.timedelta(hours=5)


@pytest.mark.parametrize(
    ("schedule", "kind"),
    [
        ({"cron": "0 6 * * *", "run_immediately": True}, CronTriggerTimetable),
        ({"cron": "0 6 * * *", "interval": "1 day"}, CronTriggerTimetable),
        ({"crons": ["0 6 * * *", "0 18 * * *"]}, MultipleCronTriggerTimetable),
        ({"every": "10m"}, DeltaTriggerTimetable),
        ({"dates": ["2026-04-01", "2026-07-01"]}, EventsTimetable),
        ("10m", DeltaTriggerTimetable),
        (600, DeltaTriggerTimetable),
        (
            {
                "timetable": "airflow.sdk.CronTriggerTimetable",
                "$args": ["@daily"],
                "timezone": "UTC",
            },
            CronTriggerTimetable,
        ),
    ],
)
def test_schedules(schedule: object, kind: type) -> None:
    assert isinstance(dag(schedule=schedule).timetable, kind)


def test_deadline() -> None:
    built = dag(
        deadline={
            "reference": "dagrun_queued_at",
            "interval": "1h",
            "callback": "asyncio.sleep",
            "name": "late",
        }
    )
    [alert] = built.deadline or []
    assert alert.interval == dt.timedelta(hours=1)
    assert alert.name == "late"


def test_asset_alias_and_details() -> None:
    found = one({"a": {**EMPTY, "outlets": [{"alias": "day"}, {"name": "n", "uri": "s3://b/n"}]}})
    assert found.outlets[0] == AssetAlias("day")
    assert found.outlets[1].uri == "s3://b/n"


def test_asset_watchers() -> None:
    trigger = "airflow.providers.standard.triggers.file.FileDeleteTrigger"
    asset = {"name": "n", "watchers": {"new": {"trigger": trigger, "filepath": "/in"}}}
    found = one({"a": {**EMPTY, "outlets": [asset]}})
    [watcher] = found.outlets[0].watchers
    assert watcher.name == "new"
    assert (type(watcher.trigger).__name__, watcher.trigger.filepath) == (
        "FileDeleteTrigger",
        "/in",
    )


def test_callbacks(module: types.ModuleType) -> None:
    def tell(context: Any, to: str = "") -> None:
        """A callback."""

    module.tell = tell  # type: ignore[attr-defined]
    found = one(
        {
            "a": {
                **EMPTY,
                "on_failure_callback": [tell, "sales.tell", {"callback": tell, "to": "me"}],
            }
        }
    )
    first, second, third = found.on_failure_callback
    assert first is second is tell
    assert isinstance(third, functools.partial)
    assert third.keywords == {"to": "me"}


def test_any_object() -> None:
    found = one(
        {
            "a": {
                "operator": "bash",
                "bash_command": "x",
                "env": {"A": {"$object": "fractions.Fraction", "$args": [1], "denominator": 2}},
                "output_processor": {"$import": "json.loads"},
                "executor_config": {"wait": {"$duration": "5m"}, "on": {"$date": "2026-01-01"}},
            }
        }
    )
    import json
    from fractions import Fraction

    assert found.env == {"A": Fraction(1, 2)}
    assert found.output_processor is json.loads
    assert found.executor_config["wait"] == dt.timedelta(minutes=5)
    assert found.executor_config["on"].year == 2026


def test_tasks_may_be_operators_classes_decorated_functions_and_dictionaries() -> None:
    @task(retries=5)
    def decorated() -> int:
        return 1

    built = dag_of(
        "x",
        {"made": [], "kind": ["made"], "decorated": ["kind"], "noted": ["decorated"]},
        {
            "made": BashOperator(task_id="made", bash_command="date"),
            "kind": EmptyOperator,
            "decorated": decorated,
            "noted": {"operator": "bash", "bash_command": "date"},
        },
    )
    assert [item.task_type for item in built.tasks] == [
        "BashOperator",
        "EmptyOperator",
        "_PythonDecoratedOperator",
        "BashOperator",
    ]
    assert built.get_task("decorated").retries == 5
    assert built.get_task("noted").upstream_task_ids == {"decorated"}
    assert built.get_task("made").dag is built


def test_output_and_argument_functions_are_the_markers() -> None:
    built = dag_of(
        "x",
        {
            "tasks": {
                "make": {"operator": "bash", "bash_command": "date"},
                "g": {
                    "expand": {"file": ["a"]},
                    "tasks": {
                        "say": {
                            "operator": "bash",
                            "bash_command": output("make"),
                            "env": {"FILE": argument("file")},
                        }
                    },
                },
            }
        },
    )
    assert built.get_task("g.say").upstream_task_ids == {"make"}
    assert output("a")["key"].key == "key"


def test_outputs_can_be_mapped_zipped_and_concatenated() -> None:
    def numbers() -> list[int]:
        return [1]

    def use(pair: Any) -> None:
        """Take a pair."""

    joined = {"$zip": [{"$output": "one", "map": "builtins.str"}, {"$output": "two"}]}
    both = {"$concat": [{"$output": "one"}, {"$output": "two"}]}
    built = dag_of(
        "x",
        {
            "tasks": {
                "one": {"callable": numbers},
                "two": {"callable": numbers},
                "zipped": {"callable": use, "expand": {"pair": joined}},
                "all": {"callable": use, "expand": {"pair": both}},
            }
        },
    )
    assert built.get_task("zipped").upstream_task_ids == {"one", "two"}
    assert built.get_task("all").upstream_task_ids == {"one", "two"}


def test_function_keeps_defaults_and_context() -> None:
    def use(ds: str, ti: Any, mode: str = "w", **rest: Any) -> None:
        """Use the context."""

    assert one({"a": {"callable": use}}).op_kwargs == {}


def test_airflow_env_is_the_interpreter_that_reads_the_dag(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    def work() -> None:
        """Work."""

    assert one({"a": {"callable": work, "python": "airflow_env"}}).python == sys.executable
    monkeypatch.setenv("AIRFLOW_ENV_PYTHON", "/opt/airflow_env/bin/python")
    found = one({"a": {"callable": work, "python": "airflow_env", "decorator": "branch"}})
    assert found.python == "/opt/airflow_env/bin/python"
    assert "Branch" in type(found).__name__


def test_registered_operator() -> None:
    register_operator("nothing_at_all", "airflow.providers.standard.operators.empty.EmptyOperator")
    try:
        assert one({"a": {"operator": "nothing_at_all"}}).task_type == "EmptyOperator"
    finally:
        del OPERATORS["nothing_at_all"]


def test_installed_short_names_lead_to_operators() -> None:
    """Those of providers that are not installed are for users who have them."""
    ours = {"standard", "sql", "smtp"}
    checked = 0
    for name, path in OPERATORS.items():
        if path.split(".")[2] in ours or ".common.sql." in path:
            assert signature_of(name).arguments, name
            checked += 1
    assert checked >= 30
    for name in DECORATORS:
        assert decorator_signature(name).arguments, name


def test_defaults_from_far_to_near() -> None:
    built = dag_of(
        "x",
        {
            "default_args": {"retries": 2, "pool": "dag"},
            "operator_defaults": {"bash": {"queue": "bash", "pool": "bash"}},
            "tasks": {
                "g": {
                    "default_args": {"retries": 3},
                    "tasks": {
                        "a": EMPTY,
                        "b": {"operator": "bash", "bash_command": "x"},
                        "c": {**EMPTY, "default_args": {"retries": 4}},
                        "d": {**EMPTY, "retries": 5},
                    },
                },
                "e": EMPTY,
            },
        },
        defaults={"default_args": {"owner": "far", "retries": 1}},
    )
    retries = {item.label: item.retries for item in built.tasks}
    assert retries == {"a": 3, "b": 3, "c": 4, "d": 5, "e": 2}
    assert {item.owner for item in built.tasks} == {"far"}
    assert built.get_task("g.b").pool == "bash"
    assert built.get_task("g.b").queue == "bash"
    assert built.get_task("e").pool == "dag"


BASH = {"operator": "bash", "bash_command": "x"}


def test_the_nearest_default_wins_over_an_operator_s() -> None:
    built = dag_of(
        "x",
        {
            "operator_defaults": {"empty": {"pool": "operator", "queue": "operator"}},
            "default_args": {"pool": "dag", "queue": "dag", "owner": "dag"},
            "tasks": {
                "g": {
                    "default_args": {"pool": "group"},
                    "tasks": {"a": EMPTY, "b": {**EMPTY, "default_args": {"pool": "task"}}},
                },
                "c": {**EMPTY, "default_args": {"pool": "task"}},
                "d": EMPTY,
            },
        },
    )
    found = {item.label: (item.pool, item.queue, item.owner) for item in built.tasks}
    assert found == {
        "a": ("group", "operator", "dag"),
        "b": ("task", "operator", "dag"),
        "c": ("task", "operator", "dag"),
        "d": ("operator", "operator", "dag"),
    }


def test_mappings_are_joined_from_every_level() -> None:
    built = dag_of(
        "x",
        {
            "default_args": {"env": {"A": "dag", "B": "dag", "C": "dag", "D": "dag"}},
            "operator_defaults": {"bash": {"env": {"B": "operator", "C": "operator"}}},
            "tasks": {
                "g": {
                    "default_args": {"env": {"C": "group", "D": "group"}},
                    "tasks": {"a": {**BASH, "env": {"D": "task"}}, "b": BASH},
                },
                "c": {**BASH, "env": {"E": "task"}},
                "d": {**BASH, "expand": {"env": [{"F": "1"}]}},
            },
        },
    )
    near = {"A": "dag", "B": "operator", "C": "group"}
    assert built.get_task("g.a").env == {**near, "D": "task"}
    assert built.get_task("g.b").env == {**near, "D": "group"}
    assert built.get_task("c").env == {
        "A": "dag",
        "B": "operator",
        "C": "operator",
        "D": "dag",
        "E": "task",
    }
    assert built.get_task("d").expand_input.value == {"env": [{"F": "1"}]}


def test_a_mapping_that_is_one_thing_is_replaced() -> None:
    notifier = {
        "$object": "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
        "to": "data@example.com",
    }
    built = dag_of(
        "x",
        {
            "on_failure_callback": {"callback": "print", "sep": "-"},
            "default_args": {"retry_delay": {"hours": 1}},
            "user_defined_macros": {"zone": {"$date": "2026-01-01"}, "name": {"b": 2}},
            "tasks": {"a": EMPTY},
        },
        {"print": print},
        defaults={
            "on_failure_callback": notifier,
            "default_args": {"retry_delay": {"minutes": 5}},
            "user_defined_macros": {"zone": {"$duration": "5m"}, "name": {"a": 1}},
        },
    )
    assert built.on_failure_callback.keywords == {"sep": "-"}
    assert built.get_task("a").retry_delay == dt.timedelta(hours=1)
    assert built.user_defined_macros["zone"].year == 2026
    assert built.user_defined_macros["name"] == {"a": 1, "b": 2}


def test_a_key_may_begin_with_a_dollar_sign() -> None:
    config = {"$$set": {"$$$x": 1}, "a": {"$date": "2026-01-01"}}
    made = one({"a": {**EMPTY, "executor_config": config}}).executor_config
    assert made["$set"] == {"$$x": 1}
    assert made["a"].year == 2026


def test_dictionary_is_not_changed() -> None:
    import copy

    given_ = {
        "default_args": {"retries": 1},
        "params": {"a": {"default": 1, "type": "integer"}},
        "tasks": {"a": {**EMPTY, "retry_delay": "5m"}, "b": {**EMPTY, "upstream": ["a"]}},
    }
    before = copy.deepcopy(given_)
    dag_of("x", given_)
    assert given_ == before


def test_template_takes_every_combination() -> None:
    built = build_dags(
        "combine_${country}_${size.name}",
        {"tasks": {"a": {**EMPTY, "retries": "${size.retries}"}}},
        {"country": ["fr", "jp"], "size": [{"name": "big", "retries": 2}]},
        tags=["${country}"],
    )
    assert [item.dag_id for item in built] == ["combine_fr_big", "combine_jp_big"]
    assert built[0].get_task("a").retries == 2
    assert built[0].tags == {"fr"}


def test_options_beside_a_full_dictionary() -> None:
    assert build_dag("options_x", {"tasks": {"a": EMPTY}}, tags=["b"]).tags == {"b"}


# YAML


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("country: no", {"country": "no"}),
        ("on: true", {"on": True}),
        ("at: 12:30", {"at": "12:30"}),
        ("day: 2026-01-01", {"day": "2026-01-01"}),
        (
            "n: [1, -2, 0x1f, 0o17, 1.5, 1e3, .inf, 007]",
            {"n": [1, -2, 31, 15, 1.5, 1000.0, float("inf"), 7]},
        ),
        ("n: [~, null, '', \"1\"]", {"n": [None, None, "", "1"]}),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("a: {<<: [{b: 1}, {b: 2, c: 3}]}", {"a": {"b": 1, "c": 3}}),
        ("1: a", {1: "a"}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("", None),
    ],
)
def test_yaml_words(text: str, value: object) -> None:
    source = read_text(text, "x.yaml", "x")
    assert not source.problems
    assert source.value == value


# One table


def test_typed_dictionaries_have_the_keys_of_the_table() -> None:
    assert ArgumentsDict.__annotations__.keys() == TASK_FIELDS.keys() | {"notify"}
    assert NotifyDict.__annotations__.keys() == NOTIFY_KEYS == {"on", *TARGETS}
    assert get_type_hints(TaskDict).keys() == TASK_FIELDS.keys() | TASK_OWN_FIELDS.keys()
    assert GroupDict.__annotations__.keys() == GROUP_FIELDS.keys()
    assert DagDict.__annotations__.keys() == DAG_FIELDS.keys() | DAG_OWN_FIELDS.keys()


#: Arguments that Airflow 3.3 added.
LATER = (
    {"rerun_with_latest_version", "retry_policy"}
    if tuple(map(int, airflow.__version__.split(".")[:2])) < (3, 3)
    else set[str]()
)


def test_table_has_every_argument_of_airflow() -> None:
    """A new argument in a new Airflow is taken as it is, but must be added to the table."""
    assert dag_keys() | LATER == DAG_FIELDS.keys() | DAG_OWN_FIELDS.keys() | LATER
    base = signature_of("empty").arguments
    assert base - TASK_FIELDS.keys() <= {"sla"}
    assert TASK_FIELDS.keys() <= base | LATER


def test_the_schema_has_the_keys_of_the_installed_airflow() -> None:
    """What a later release adds is in the table, and is refused by the one that is installed."""
    definitions = json_schema()["definitions"]
    assert definitions["dag"]["properties"].keys() - {"<<"} == dag_keys()
    taken = signature_of("empty").arguments | TASK_OWN_FIELDS.keys()
    assert definitions["task"]["properties"].keys() <= taken


def test_library_is_typed() -> None:
    import dag_builder

    assert (Path(dag_builder.__file__).parent / "py.typed").exists()
