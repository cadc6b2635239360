"""Whatever the author writes is used or refused: no value is dropped, none is taken unchecked."""

import datetime as dt
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import jinja2
import pendulum
import pytest
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseOperator, DeadlineAlert, Param, task
from airflow.timetables.events import EventsTimetable
from airflow.timetables.interval import CronDataIntervalTimetable
from dag_builder.testing.integrity import stored
from dag_builder.yaml.documents import read_string

from dag_builder import DagError, Problem, argument, build_dags, dag_of, output

E = {"operator": "empty"}
SENSOR = {"operator": "file_sensor", "filepath": "x"}
TRIGGER = {"operator": "trigger_dag_run", "trigger_dag_id": "x"}


def f(x: Any = None) -> Any:
    return x


async def late(**_: Any) -> None:
    pass


def made(tasks: Mapping[str, Any], *, functions: Any = None, **keys: Any) -> DAG:
    dag = dag_of("d", {"tasks": tasks, **keys}, functions)
    _, reason = stored(dag)
    assert not reason, reason
    return dag


def problems(tasks: Mapping[str, Any], *, functions: Any = None, **keys: Any) -> list[Problem]:
    with pytest.raises(DagError) as caught:
        dag_of("d", {"tasks": tasks, **keys}, functions)
    return list(caught.value.problems)


def one(tasks: Mapping[str, Any], *, functions: Any = None, **keys: Any) -> str:
    (problem,) = problems(tasks, functions=functions, **keys)
    return str(problem)


class Own(BaseOperator):
    """An operator whose arguments have the names of the builder's keys."""

    template_fields = ("arguments",)

    def __init__(
        self,
        *,
        arguments: list[str] | None = None,
        python: str = "",
        decorator: str = "",
        callable: str = "",  # noqa: A002
        teardown: str = "",
        upstream: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.arguments = arguments
        self.given = {"python": python, "decorator": decorator, "callable": callable}
        self.named = (teardown, upstream)


class Popping(BaseOperator):
    """An operator that takes arguments from ``**kwargs`` before Airflow sees them."""

    def __init__(self, **kw: Any) -> None:
        self.mine = kw.pop("mine", None)
        super().__init__(**kw)


class Keeping(BaseOperator):
    def __init__(self, *, task_id: str, **options: Any) -> None:
        own = {key: options.pop(key) for key in list(options) if key.startswith("spark_")}
        super().__init__(task_id=task_id, **options)
        self.options = own


# Arguments of an operator that are named like a key of the builder.


def test_an_operators_own_argument_goes_before_a_key_for_functions() -> None:
    given = {"arguments": ["-c", "x"], "python": "/p", "decorator": "d", "callable": "c"}
    own: Any = made({"a": {"operator": Own, **given}}).get_task("a")
    assert own.arguments == ["-c", "x"]
    assert own.given == {"python": "/p", "decorator": "d", "callable": "c"}


def test_an_argument_named_like_a_link_is_given_in_default_args() -> None:
    defaults = {"teardown": "t", "upstream": "u"}
    dag = made({"b": E, "a": {"operator": Own, "upstream": "b", "default_args": defaults}})
    own: Any = dag.get_task("a")
    assert own.named == ("t", "u")
    assert own.upstream_task_ids == {"b"}


@pytest.mark.parametrize("name", ["external_python", "branch_external_python"])
def test_listed_operators_that_take_python(name: str) -> None:
    given = {"operator": name, "python": "/usr/bin/python3", "python_callable": f}
    own: Any = made({"a": given}).get_task("a")
    assert own.python == "/usr/bin/python3"


# Schedules.


def test_dates_are_a_schedule_that_airflow_can_store() -> None:
    dag = made({"a": E}, schedule={"dates": ["2026-04-01"], "description": "spring"})
    assert isinstance(dag.timetable, EventsTimetable)


@pytest.mark.parametrize("schedule", ["0 6 * * *", "@daily"])
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"start_date": "2026-01-01T00:00Z"},
        {"start_date": "2026-01-01T00:00+05:00"},
        {"start_date": "2026-01-01"},
        {"default_args": {"start_date": "2026-01-01T00:00Z"}},
    ],
)
def test_a_cron_counts_in_the_dags_timezone(schedule: str, keys: dict[str, Any]) -> None:
    dag = made({"a": E}, timezone="America/New_York", schedule=schedule, **keys)
    timetable: Any = dag.timetable
    assert getattr(timetable, "_timezone", None) or timetable.timezone
    zone = getattr(timetable, "timezone", None) or timetable._timezone
    assert str(getattr(zone, "name", zone)) == "America/New_York"


@pytest.mark.parametrize("asset", [{"uri": "s3://a/b"}, {"name": "b"}, {"alias": "b"}])
def test_a_schedule_is_one_asset(asset: dict[str, str]) -> None:
    assert type(made({"a": E}, schedule=asset).timetable).__name__ == "AssetTriggeredTimetable"
    assert "an asset has no 'grup'" in one({"a": E}, schedule={"uri": "s3://a/b", "grup": "g"})


def test_a_cron_without_a_timezone_stays_airflows() -> None:
    dag = made({"a": E}, schedule="0 6 * * *", start_date="2026-01-01T00:00+05:00")
    assert dag.schedule == "0 6 * * *"


@pytest.mark.parametrize("schedule", ["@once", "@continuous", None])
def test_schedules_without_a_zone_stay(schedule: str | None) -> None:
    assert (
        made({"a": E}, timezone="Europe/Paris", schedule=schedule, max_active_runs=1).schedule
        == schedule
    )


def test_a_timetable_may_have_an_argument_named_like_a_schedule() -> None:
    path = "airflow.timetables.interval.CronDataIntervalTimetable"
    dag = made({"a": E}, schedule={"timetable": path, "cron": "0 6 * * *", "timezone": "UTC"})
    assert isinstance(dag.timetable, CronDataIntervalTimetable)


@pytest.mark.parametrize(
    "schedule",
    [0, 0.0, -1, "0s", {"every": "0m"}, {"every": -5}, dt.timedelta(0), {"seconds": 0}],
)
def test_a_schedule_without_length_is_refused(schedule: Any) -> None:
    if isinstance(schedule, dict) and "seconds" in schedule:
        schedule = {"every": schedule}
    assert "this must be a duration of more than 0" in one({"a": E}, schedule=schedule)


@pytest.mark.parametrize("schedule", ["0 6 31 2 *", "0 0 30 2 *", {"cron": "0 6 31 2 *"}])
def test_a_cron_that_never_fires_is_refused(schedule: Any) -> None:
    assert "cron expression" in one({"a": E}, schedule=schedule)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"timezone": 5}, "timezone"),
        ({"timezone": True}, "timezone"),
        ({"run_immediately": "soon"}, "run_immediately"),
        ({"run_immediately": -5}, "run_immediately"),
        ({"interval": -5}, "interval"),
    ],
)
def test_options_of_a_cron_are_checked(options: dict[str, Any], path: str) -> None:
    assert f"d.schedule.{path}" in one({"a": E}, schedule={"cron": "0 6 * * *", **options})


def test_options_of_dates_are_checked() -> None:
    dates = {"dates": ["2026-04-01"], "description": 5, "restrict_to_events": "no"}
    assert {p.where for p in problems({"a": E}, schedule=dates)} == {
        "d.schedule.description",
        "d.schedule.restrict_to_events",
    }


def test_run_immediately_takes_a_duration() -> None:
    made({"a": E}, schedule={"cron": "0 6 * * *", "run_immediately": 5})
    made({"a": E}, schedule={"cron": "0 6 * * *", "run_immediately": True})


# Types of an operator's own arguments.

WRONG = [
    ({**SENSOR, "soft_fail": "no"}, "soft_fail"),
    ({**SENSOR, "deferrable": "true"}, "deferrable"),
    ({**TRIGGER, "wait_for_completion": "no"}, "wait_for_completion"),
    ({**TRIGGER, "reset_dag_run": "yes"}, "reset_dag_run"),
    ({**TRIGGER, "poke_interval": "1m"}, "poke_interval"),
    ({**TRIGGER, "poke_interval": True}, "poke_interval"),
    ({"operator": "bash", "bash_command": "x", "append_env": "off"}, "append_env"),
    ({"operator": "bash", "bash_command": 5}, "bash_command"),
    ({"operator": "bash", "bash_command": None}, "bash_command"),
    ({"operator": "bash", "bash_command": ["x"]}, "bash_command"),
    ({"operator": "bash", "bash_command": "x", "env": "A=1"}, "env"),
    ({"operator": "bash", "bash_command": "x", "retries": -1}, "retries"),
    ({"operator": "bash", "bash_command": "x", "retry_delay": -1}, "retry_delay"),
    ({"operator": "bash", "bash_command": "x", "execution_timeout": 0}, "execution_timeout"),
    ({"operator": "python", "python_callable": 5}, "python_callable"),
    ({"operator": "python", "python_callable": f, "op_kwargs": "x"}, "op_kwargs"),
    ({"operator": "time_sensor", "target_time": "noon"}, "target_time"),
]


@pytest.mark.parametrize(("given", "key"), WRONG)
def test_an_argument_of_the_wrong_type_is_refused_wherever_it_is(
    given: dict[str, Any], key: str
) -> None:
    rest = {name: value for name, value in given.items() if name != key}
    assert f"d.tasks.a.{key}" in one({"a": given})
    own = {"a": {**rest, "default_args": {key: given[key]}}}
    if key != "bash_command" or given[key] is not None:
        assert f"d.tasks.a.default_args.{key}" in one(own)
    if given[key] is None or key in {"retries", "retry_delay", "execution_timeout"}:
        return
    expand = one({"a": {**rest, "expand": {key: [given[key]]}}})
    assert f"d.tasks.a.expand.{key}[0]" in expand
    sets = one({"a": {**rest, "expand_kwargs": [{key: given[key]}]}})
    assert f"d.tasks.a.expand_kwargs[0].{key}" in sets
    assert f"d.default_args.{key}" in one({"a": rest}, default_args={key: given[key]})
    defaults = {str(given["operator"]): {key: given[key]}}
    assert f"d.operator_defaults.{given['operator']}.{key}" in one(
        {"a": rest}, operator_defaults=defaults
    )


def test_one_wrong_default_of_many_tasks_is_one_mistake() -> None:
    tasks = {f"t{n}": SENSOR for n in range(9)}
    assert "d.default_args.soft_fail" in one(tasks, default_args={"soft_fail": "no"})


@pytest.mark.parametrize(
    "given",
    [
        {**SENSOR, "soft_fail": True, "poke_interval": 5.5},
        {"operator": "bash", "bash_command": "{{ ds }}", "env": {"A": "1"}},
        {"operator": "bash", "bash_command": "x", "env": None, "skip_on_exit_code": [1, 2]},
        {**TRIGGER, "conf": {"a": [1]}, "poke_interval": 5, "logical_date": "2026-01-01"},
        {**TRIGGER, "conf": "{{ params }}"},
        {"operator": "python", "python_callable": "os.getcwd", "op_args": "{{ x }}"},
        {"operator": "bash", "bash_command": {"$output": "start"}},
        {"operator": "bash", "bash_command": output("start")},
    ],
)
def test_arguments_of_the_right_type_are_taken(given: dict[str, Any]) -> None:
    made({"start": E, "a": given})


def test_durations_in_default_args_are_read_by_the_operator_that_takes_them() -> None:
    dag = made(
        {
            "a": SENSOR,
            "g": {
                "tasks": {
                    "b": SENSOR,
                    "c": {
                        "operator": "external_task_sensor",
                        "external_dag_id": "x",
                        "default_args": {"execution_delta": "2h"},
                    },
                },
                "default_args": {"poke_interval": "45s"},
            },
        },
        default_args={"poke_interval": "30s"},
    )
    first, second, third = (dag.get_task(name) for name in ("a", "g.b", "g.c"))
    assert getattr(first, "poke_interval") == 30  # noqa: B009
    assert getattr(second, "poke_interval") == 45  # noqa: B009
    assert getattr(third, "execution_delta") == dt.timedelta(hours=2)  # noqa: B009


def test_an_import_path_in_default_args_is_imported() -> None:
    own: Any = made(
        {"a": {"operator": "python"}}, default_args={"python_callable": "os.getcwd"}
    ).get_task("a")
    assert own.python_callable is os.getcwd


def test_values_to_expand_over_are_read_by_their_type() -> None:
    dag = made({"a": {**SENSOR, "expand": {"poke_interval": ["1s", 2]}}})
    values: Any = dag.get_task("a")
    assert values.expand_input.value["poke_interval"] == [
        dt.timedelta(seconds=1),
        2,
    ]
    sets = {"operator": "python", "expand_kwargs": [{"python_callable": "os.getcwd"}]}
    mapped: Any = made({"a": sets}).get_task("a")
    assert mapped.expand_input.value[0]["python_callable"] is os.getcwd


def test_a_time_of_day() -> None:
    made({"a": {"operator": "time_sensor", "target_time": "12:30"}})


def test_a_boolean_backoff_is_taken() -> None:
    for value in (True, False, 2.0, 0):
        assert made({"a": {**E, "retry_exponential_backoff": value}})
    assert "a number of 0 or more" in one({"a": {**E, "retry_exponential_backoff": -1}})


# Ready operators.


def test_a_mapped_operator_that_is_made_is_refused() -> None:
    a = BashOperator.partial(task_id="a").expand(bash_command=["x"])
    assert "a mapped operator that is already made" in one({"a": a})
    b = BashOperator.partial(task_id="b")
    assert "d.tasks.b" in one({"b": b})


# Params.


@pytest.mark.parametrize(
    "value",
    [
        {"type": "csv", "path": "x"},
        {"type": 3, "x": 1},
        {"path": "x"},
    ],
)
def test_a_plain_mapping_is_a_params_value(value: dict[str, Any]) -> None:
    assert made({"a": E}, params={"cfg": value}).params["cfg"] == value
    own: Any = made({"a": {**E, "params": {"cfg": value}}}).get_task("a")
    assert own.params["cfg"] == value
    inherited: Any = made({"a": E}, default_args={"params": {"cfg": value}}).get_task("a")
    assert inherited.params["cfg"] == value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"default": "x", "other": 1}, "a param's schema has no 'other'"),
        ({"type": "string", "x": 1}, "a param's schema has no 'x'"),
        ({"type": "strng", "default": "x"}, "JSON Schema has no type 'strng'"),
        ({"type": ["string", "nul"]}, "JSON Schema has no type 'nul'"),
    ],
)
def test_half_a_schema_is_refused(value: dict[str, Any], words: str) -> None:
    assert words in one({"a": E}, params={"cfg": value})


def test_a_mapping_with_those_keys_is_a_default() -> None:
    value = {"type": "string", "x": 1}
    assert made({"a": E}, params={"cfg": {"default": value}}).params["cfg"] == value


def test_a_marker_goes_before_a_schema() -> None:
    given = {"$object": "airflow.sdk.Param", "default": 1, "type": "integer"}
    dag = made({"a": E}, params={"a": given})
    found = dag.params.get_param("a")
    assert isinstance(found, Param)
    assert (found.value, found.schema) == (1, {"type": "integer"})


# Markers.


def test_zip_takes_a_fill_value_and_a_map() -> None:
    given = {"$zip": [{"$output": "a"}, {"$output": "b"}], "map": f, "fillvalue": 0}
    dag = made({"a": E, "b": E, "c": {"callable": f, "expand": {"x": given}}})
    assert dag.get_task("c").upstream_task_ids == {"a", "b"}


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"$zip": [{"$output": "a"}, {"$output": "a"}], "fill": 0}, "fill"),
        ({"$concat": [{"$output": "a"}, {"$output": "a"}], "fillvalue": 0}, "fillvalue"),
        ({"$argument": "x", "default": 1}, "default"),
        ({"$import": "os.getcwd", "x": 1}, "x"),
        ({"$asset": "x", "group": "g"}, "group"),
        ({"$duration": "1h", "unit": "s"}, "unit"),
        ({"$date": "2026-01-01", "timezone": "Europe/Paris"}, "timezone"),
        ({"$output": "a", "index": 1}, "index"),
    ],
)
def test_keys_beside_a_marker_are_refused(given: dict[str, Any], key: str) -> None:
    tasks = {"a": E, "b": {"callable": f, "arguments": {"x": given}}}
    assert any(key in problem.where for problem in problems(tasks))


@pytest.mark.parametrize("how", ["$zip", "$concat"])
def test_only_outputs_are_joined(how: str) -> None:
    given = {how: [["a"], {"$output": "b"}]}
    text = one({"b": E, "c": {"callable": f, "expand": {"x": given}}})
    assert f"d.tasks.c.expand.x.{how}[0]" in text


@pytest.mark.parametrize(
    "tasks",
    [
        {
            "b": {
                "callable": f,
                "arguments": {"x": {"$object": "builtins.dict", "v": {"$output": "a"}}},
            }
        },
        {"b": {"callable": f, "arguments": {"x": {"$object": "builtins.dict", "v": output("a")}}}},
        {"b": {**E, "on_failure_callback": {"callback": f, "channel": {"$output": "a"}}}},
        {"b": {**E, "outlets": [{"name": "x", "extra": {"v": {"$output": "a"}}}]}},
        {"b": {**E, "params": {"v": {"$output": "a"}}}},
        {"b": {**E, "executor_config": {"v": {"$output": "a"}}}},
    ],
)
def test_an_output_in_what_is_made_before_the_run_is_refused(tasks: dict[str, Any]) -> None:
    assert "output" in one({"a": E, **tasks})


@pytest.mark.parametrize(
    "keys",
    [
        {"description": argument("x")},
        {"access_control": {"a": {"$output": "a"}}},
        {"user_defined_macros": {"a": {"$output": "a"}}},
        {"params": {"a": {"$output": "a"}}},
        {"schedule": {"timetable": "airflow.sdk.CronTriggerTimetable", "cron": {"$output": "a"}}},
    ],
)
def test_an_output_in_a_key_of_the_dag_is_refused(keys: dict[str, Any]) -> None:
    assert one({"a": E}, **keys)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"operator": "bash", "bash_command": {"$output": "exx"}}, "bash_command"),
        ({"callable": f, "arguments": {"x": [{"q": {"$output": "exx"}}]}}, "arguments.x[0].q"),
        ({"callable": f, "expand": {"x": {"$output": "exx"}}}, "expand.x"),
        ({"callable": f, "expand_kwargs": {"$output": "exx"}}, "expand_kwargs"),
    ],
)
def test_a_wrong_reference_is_reported_with_its_path(given: dict[str, Any], path: str) -> None:
    assert problems({"a": E, "b": given})[0].where == f"d.tasks.b.{path}"


# Functions.


def test_two_upstream_tasks_of_one_name_are_not_an_argument() -> None:
    tasks = {
        "g": {"tasks": {"x": E}},
        "h": {"tasks": {"x": E}},
        "b": {"callable": f, "upstream": ["g.x", "h.x"]},
    }
    assert "f() takes 'x', which could be g.x or h.x" in one(tasks)
    tasks["b"] = {**tasks["b"], "arguments": {"x": {"$output": "h.x"}}}
    made(tasks)


@pytest.mark.parametrize("extra", [{"decorator": "branch"}, {"python": "/opt/x/python"}])
def test_a_decorated_function_takes_no_other_decorator(extra: dict[str, Any]) -> None:
    @task
    def decorated() -> None:
        pass

    assert "decorated with @task already" in one({"a": {"callable": decorated, **extra}})
    assert "decorated with @task already" in one({"a": extra}, functions={"a": decorated})


@pytest.mark.parametrize("name", ["run_if", "skip_if", "__call__", "__init__", "_x"])
def test_not_everything_of_task_is_a_decorator(name: str) -> None:
    assert f"there is not a decorator @task.{name}" in one(
        {"a": {"callable": f, "decorator": name}}
    )


class Called:
    def __call__(self) -> None:
        pass


@pytest.mark.parametrize("found", [os.getcwd, functools.partial(f, 1), Called()])
def test_what_is_not_a_python_function_is_refused_with_what_to_do(found: Any) -> None:
    text = one({"a": {"callable": found}})
    assert "operator: python" in text


@pytest.mark.parametrize(
    "extra", [{"arguments": [1]}, {"expand": {"needed": "abc"}}, {"expand": 3}]
)
def test_what_follows_from_a_mistake_is_not_another(extra: dict[str, Any]) -> None:
    def need(needed: int) -> None:
        pass

    assert one({"ex": E, "a": {"callable": need, **extra}})


def test_expand_kwargs_must_have_what_is_required() -> None:
    sets = {"operator": "bash", "expand_kwargs": [{"bash_command": "x"}, {"cwd": "/"}]}
    assert "d.tasks.a.expand_kwargs[1]\n    @task" not in one({"a": sets})
    assert "d.tasks.a.expand_kwargs[1]" in one({"a": sets})

    def need(needed: int, other: int = 0) -> None:
        pass

    given = {"callable": need, "expand_kwargs": [{"needed": 1}, {"other": 2}]}
    assert "need() needs 'needed'" in one({"a": given})


# Parameters.


def test_parameters_are_filled_in_defaults() -> None:
    text = (
        "defaults: {default_args: {queue: '${x}'}}\n"
        "dags:\n  'd_${x}': {for_each: [{x: q1}, {x: q2}], tasks: {a: {operator: empty}}}\n"
    )
    entries = read_string(text).dags
    assert [(e.dag_id, e.defaults["default_args"]["queue"]) for e in entries] == [
        ("d_q1", "q1"),
        ("d_q2", "q2"),
    ]


def test_parameters_are_filled_in_the_defaults_of_build_dags() -> None:
    (dag,) = build_dags(
        "d_${x}", {"tasks": {"a": E}}, [{"x": "q1"}], defaults={"default_args": {"queue": "${x}"}}
    )
    assert dag.get_task("a").queue == "q1"


def test_keys_that_become_one_are_refused() -> None:
    template = {"tasks": {"${x}": E, "a": {"operator": "bash", "bash_command": "x"}}}
    with pytest.raises(DagError, match="the key 'a' is there twice"):
        build_dags("d_${x}", template, [{"x": "a"}])


# Names.


def test_names_have_the_letters_of_any_language() -> None:
    dag = dag_of("ventes_été", {"tasks": {"größe": {"tasks": {"tâche": E}}}})
    assert dag.task_ids == ["größe.tâche"]


@pytest.mark.parametrize("dag_id", ["a b", "", "a/b", 5, None, "x" * 251])
def test_a_wrong_dag_id_is_one_mistake(dag_id: Any) -> None:
    with pytest.raises(DagError) as caught:
        dag_of(dag_id, {"tasks": {"a": E}})
    assert len(caught.value.problems) == 1


# Deadlines.


@pytest.mark.parametrize(
    "reference",
    ["average_runtime", {"average_runtime": {"max_runs": 10, "min_runs": 3}}, "dagrun_queued_at"],
)
def test_deadlines(reference: Any) -> None:
    callback = {"callback": f"{__name__}.late", "channel": "x"}
    with_module(late)
    dag = made(
        {"a": E}, deadline={"reference": reference, "interval": "1h", "callback": "deadlines.late"}
    )
    assert isinstance(dag.deadline, list | DeadlineAlert)
    callback["callback"] = "deadlines.late"
    dag = made({"a": E}, deadline={"reference": reference, "interval": "1h", "callback": callback})
    (alert,) = dag.deadline if isinstance(dag.deadline, list) else [dag.deadline]
    assert alert.callback.kwargs == {"channel": "x"}
    assert alert.callback.path == "deadlines.late"


def with_module(function: Callable[..., Any]) -> None:
    import sys
    import types

    module = types.ModuleType("deadlines")
    function.__module__ = "deadlines"
    module.late = function  # type: ignore[attr-defined]
    sys.modules["deadlines"] = module


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"callback": "deadlines.nope"}, "callback"),
        ({"callback": {"callback": "deadlines.nope"}}, "callback.callback"),
        ({"callback": "os.getcwd"}, "callback"),
        ({"callback": 5}, "callback"),
        ({"interval": "0s"}, "interval"),
        ({"interval": -5}, "interval"),
        ({"reference": {"average_runtime": {"max": 3}}}, "reference.average_runtime.max"),
        ({"reference": {"average_runtime": {"max_runs": 0}}}, "reference.average_runtime.max_runs"),
    ],
)
def test_deadlines_are_checked(given: dict[str, Any], path: str) -> None:
    with_module(late)
    deadline = {
        "reference": "dagrun_queued_at",
        "interval": "1h",
        "callback": "deadlines.late",
        **given,
    }
    assert f"d.deadline.{path}" in one({"a": E}, deadline=deadline)


# Jinja.


def test_filters_macros_and_undefined_are_imported() -> None:
    dag = made(
        {"a": E},
        user_defined_filters={"f": "os.path.basename"},
        user_defined_macros={"g": "os.path.basename", "site": "example.com", "n": 3, "v": "1.2"},
        template_undefined="jinja2.StrictUndefined",
    )
    assert dag.user_defined_filters == {"f": os.path.basename}
    assert dag.user_defined_macros == {
        "g": os.path.basename,
        "site": "example.com",
        "n": 3,
        "v": "1.2",
    }
    assert dag.template_undefined is jinja2.StrictUndefined
    assert "d.user_defined_filters.f" in one({"a": E}, user_defined_filters={"f": "os.nope"})
    assert "d.user_defined_macros.f" in one({"a": E}, user_defined_macros={"f": "os.nope"})


# Arguments that Airflow ignores.


def test_sla_is_refused_with_what_to_use() -> None:
    for tasks, keys in (
        ({"a": {**E, "sla": "1h"}}, {}),
        ({"a": E}, {"default_args": {"sla": "1h"}}),
        ({"a": E}, {"operator_defaults": {"empty": {"sla": "1h"}}}),
    ):
        text = one(tasks, **keys)
        assert "Airflow 3 has no SLAs" in text
    assert "'sla'," not in str(problems({"a": {**E, "slaa": 1}})[0])


# Teardowns.


def test_a_group_is_not_a_set_up() -> None:
    tasks = {"g": {"tasks": {"a": E}}, "b": {**E, "teardown": "g"}}
    text = one(tasks)
    assert "a set-up is a task, and this is a group" in text
    assert "'g.a'" in text


def test_failing_the_run_is_for_teardowns() -> None:
    text = one({"a": {**E, "on_failure_fail_dagrun": True}})
    assert "only a teardown can fail the run" in text


# Operators with **kwargs.


def test_operators_that_take_arguments_by_kwargs() -> None:
    own: Any = made({"a": {"operator": Popping, "mine": 1}}).get_task("a")
    assert own.mine == 1
    kept: Any = made({"a": {"operator": Keeping, "spark_home": "/x"}}).get_task("a")
    assert kept.options == {"spark_home": "/x"}
    assert "'mine'" in str(problems({"a": {"operator": EmptyOperator, "mine": 1}})[0])
    assert "retries" in one({"a": {"operator": Popping, "retris": 1}})
    assert "foreign" in one({"a": {"operator": Popping, "foreign": 1}})


# Messages.


@pytest.mark.parametrize(
    ("operator", "package"),
    [
        ("ssh", "apache-airflow-providers-ssh"),
        ("kubernetes_pod", "apache-airflow-providers-cncf-kubernetes"),
        ("airflow.providers.amazon.aws.operators.s3.S3Operator", "apache-airflow-providers-amazon"),
        (
            "airflow.providers.microsoft.azure.operators.adx.AzureDataExplorerQueryOperator",
            "apache-airflow-providers-microsoft-azure",
        ),
    ],
)
def test_the_missing_package_is_named(operator: str, package: str) -> None:
    text = one({"a": {"operator": operator}})
    assert f"the package '{package}'" in text


def test_a_provider_that_is_left_out_of_a_path_is_missed() -> None:
    text = one({"a": {"operator": "airflow.providers.operators.s3.S3Operator"}})
    assert "'airflow.providers' has nothing named 'operators'" in text


def test_what_was_given_is_shown() -> None:
    assert "given: 'airflow://x'" in one({"a": E}, schedule=["airflow://x"])


# YAML.


@pytest.mark.parametrize(("word", "value"), [("yes", True), ("off", False), ("True", True)])
def test_the_words_of_a_boolean_tag(word: str, *, value: bool) -> None:
    document = read_string(
        f"dag_id: x\ncatchup: !!bool {word}\ntasks: {{a: {{operator: empty}}}}\n"
    )
    assert document.dags[0].dictionary["catchup"] is value


def test_other_words_of_a_boolean_tag_are_refused() -> None:
    document = read_string("dag_id: x\ncatchup: !!bool ja\ntasks: {a: {operator: empty}}\n")
    assert "YAML's tag !!bool cannot be read" in str(document.dags[0].problems[0])


# Zones.


def test_a_start_date_in_the_timezone_keeps_the_plain_cron() -> None:
    dag = made({"a": E}, timezone="Europe/Paris", schedule="@daily", start_date="2026-01-01")
    assert dag.schedule == "@daily"
    assert dag.timezone == pendulum.timezone("Europe/Paris")


def test_ready_made_values_are_checked_by_their_key() -> None:
    assert "d.tasks.a.retries" in one({"a": {**E, "retries": {"$duration": "1h"}}})
    made({"a": {**E, "retry_delay": {"$duration": "1h"}}})
