"""Values from environment variables: ``{$env: NAME}``."""

import datetime as dt
from typing import Any

import jsonschema
import pytest
from dag_builder.yaml.schema import json_schema

from dag_builder import DagError, dag_of


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ENV_QUEUE": "big",
        "ENV_NUMBER": "3",
        "ENV_FALSE": "false",
        "ENV_TIME": "30s",
        "ENV_CRON": "0 6 * * *",
        "ENV_COMMAND": "echo 5",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ENV_MISSING", raising=False)


def task_of(**task: Any) -> Any:
    return dag_of("d", {"tasks": {"a": task}}).get_task("a")


SENSOR = {"operator": "file_sensor", "filepath": "x"}


@pytest.mark.parametrize(
    ("task", "key", "value"),
    [
        ({"operator": "empty", "queue": {"$env": "ENV_QUEUE"}}, "queue", "big"),
        ({"operator": "empty", "retries": {"$env": "ENV_NUMBER"}}, "retries", 3),
        (
            {"operator": "empty", "retry_delay": {"$env": "ENV_TIME"}},
            "retry_delay",
            dt.timedelta(seconds=30),
        ),
        ({**SENSOR, "soft_fail": {"$env": "ENV_FALSE"}}, "soft_fail", False),
        ({**SENSOR, "poke_interval": {"$env": "ENV_TIME"}}, "poke_interval", 30),
        (
            {"operator": "bash", "bash_command": {"$env": "ENV_COMMAND"}},
            "bash_command",
            "echo 5",
        ),
        ({"operator": "bash", "bash_command": {"$env": "ENV_NUMBER"}}, "bash_command", "3"),
        ({"operator": "empty", "queue": {"$env": "ENV_MISSING", "default": "q"}}, "queue", "q"),
        ({"operator": "empty", "retries": {"$env": "ENV_MISSING", "default": 2}}, "retries", 2),
    ],
)
def test_the_value_of_a_variable(task: dict[str, Any], key: str, value: object) -> None:
    found = getattr(task_of(**task), key)
    assert found == value
    assert isinstance(found, (type(value), float))


def test_variables_of_a_dag_and_within_values() -> None:
    dag: Any = dag_of(
        "d",
        {
            "schedule": {"$env": "ENV_CRON"},
            "default_args": {"queue": {"$env": "ENV_QUEUE"}},
            "params": {"p": {"$env": "ENV_QUEUE"}},
            "tasks": {
                "a": {"operator": "bash", "bash_command": "x", "env": {"Q": {"$env": "ENV_QUEUE"}}}
            },
        },
    )
    task: Any = dag.get_task("a")
    assert dag.timetable.expression == "0 6 * * *"
    assert (task.queue, task.env, dag.params["p"]) == ("big", {"Q": "big"}, "big")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"operator": "empty", "queue": {"$env": "ENV_MISSING"}}, "'ENV_MISSING' is not set"),
        ({"operator": "bash", "bash_command": {"$env": "ENV_MISSING"}}, "'ENV_MISSING' is not set"),
        ({"operator": "empty", "retries": {"$env": "ENV_QUEUE"}}, "whole number"),
        ({"operator": "empty", "retries": {"$env": "ENV_FALSE"}}, "whole number"),
        ({**SENSOR, "soft_fail": {"$env": "ENV_QUEUE"}}, "true or false"),
        ({**SENSOR, "soft_fail": {"$env": "ENV_MISSING", "default": "no"}}, "true or false"),
        ({"operator": "empty", "queue": {"$env": "ENV_QUEUE", "dfault": 1}}, "dfault"),
        ({"operator": "empty", "queue": {"$env": 5}}, "environment variable"),
    ],
)
def test_what_is_wrong_is_refused(task: dict[str, Any], message: str) -> None:
    with pytest.raises(DagError, match=message) as caught:
        task_of(**task)
    assert len(caught.value.problems) == 1


def test_the_schema_takes_a_variable() -> None:
    task = {"operator": "empty", "retries": {"$env": "ENV_NUMBER"}, "queue": {"$env": "ENV_QUEUE"}}
    dag = {"dag_id": "d", "schedule": {"$env": "ENV_CRON"}, "tasks": {"a": task}}
    validator: Any = jsonschema.Draft7Validator(json_schema())
    assert validator.is_valid(dag)
