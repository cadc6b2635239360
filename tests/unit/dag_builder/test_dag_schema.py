"""The JSON Schema reports the mistakes that it can describe, and accepts what the builder does."""

from typing import Any

import jsonschema
import pytest
import yaml
from dag_builder.builder import dags_of_document
from dag_builder.yaml.documents import read_string
from dag_builder.yaml.schema import json_schema

E = "{operator: empty}"
BAD = [
    f"tasks: {{a: {E}}}\nschedule: {{crn: '@daily'}}",
    f"tasks: {{a: {E}}}\nschedule: '@dayly'",
    f"tasks: {{a: {E}}}\nschedule: 0",
    f"tasks: {{a: {E}}}\ndeadline: {{reference: dagrun_queued_at, intervall: 1h, callback: a.b}}",
    f"tasks: {{a: {E}}}\ndeadline: {{reference: dagrun_queued_at}}",
    f"tasks: {{a: {E}}}\nstart_date: yesterday",
    f"tasks: {{a: {E}}}\ndagrun_timeout: soon",
    f"tasks: {{a: {E}}}\noperator_defaults: {{bahs: {{cwd: /}}}}",
    f"tasks: {{a: {E}}}\ntgas: [x]",
    f"tasks: {{a b: {E}}}",
    "tasks: {a: {operator: empty, outlets: [{nam: x}]}}",
    "tasks: {a: {operator: empty, callable: a.b}}",
    "tasks: {a: {callable: a.b, expand: text}}",
    "tasks: {a: {operator: empty, retry_delay: {hour: 1}}}",
    "tasks: {a: {operator: empty, retries: -1}}",
    "tasks: {a: {operator: empty, sla: 1h}}",
    "tasks: {a: {operator: bash, bash_command: 5}}",
    "tasks: {a: {operator: file_sensor, filepath: x, soft_fail: 'no'}}",
    "tasks: {a: {operator: bash, bash_comand: x}}",
]
GOOD = [
    "tasks: {a: &a {operator: bash, bash_command: x}, b: {<<: *a, upstream: a}}",
    f"tasks: {{tâche: {E}}}\nx-mine: {{anything: 1}}",
    (
        f"tasks: {{a: {E}}}\nschedule: {{timetable: airflow.sdk.CronTriggerTimetable, "
        "$args: ['@daily'], timezone: UTC}"
    ),
    f"tasks: {{a: {E}}}\nschedule: {{cron: '0 6 * * *', timezone: UTC, interval: 1h}}",
    f"tasks: {{a: {E}}}\nschedule: {{all: [x, {{any: [y, z]}}]}}",
    "tasks: {a: {operator: empty, retry_exponential_backoff: true}}",
    f"tasks: {{a: {E}, b: {{operator: bash, bash_command: {{$output: a}}}}}}",
    "tasks: {a: {operator: file_sensor, filepath: '{{ ds }}', poke_interval: 30s}}",
    (
        "tasks: {a: {callable: tests.unit.dag_builder.test_dag_group_functions.tidy, "
        "arguments: {folder: x}, tooltip: t, default_args: {pool: p}}}"
    ),
    (
        "tasks: {a: {operator: empty, outlets: [{name: n, watchers: {w: {trigger: "
        "airflow.providers.standard.triggers.file.FileDeleteTrigger, filepath: x}}}]}}"
    ),
]


@pytest.fixture(scope="module")
def validator() -> Any:
    jsonschema.Draft7Validator.check_schema(json_schema())
    return jsonschema.Draft7Validator(json_schema())


def forms(text: str) -> list[str]:
    inside = "\n".join(f"    {line}" for line in text.splitlines() if not line.startswith("x-"))
    return [f"dag_id: d\n{text}\n", f"dags:\n  d:\n{inside}\n"]


def problems_of(text: str) -> list[Any]:
    problems: list[Any] = []
    dags_of_document(read_string(text), {}, problems)
    return problems


@pytest.mark.parametrize("text", [form for text in BAD for form in forms(text)])
def test_mistakes_are_flagged(text: str, validator: Any) -> None:
    assert not validator.is_valid(yaml.safe_load(text))
    assert problems_of(text)


@pytest.mark.parametrize("text", [form for text in GOOD for form in forms(text)])
def test_what_the_builder_takes_is_taken(text: str, validator: Any) -> None:
    assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == []
    assert not problems_of(text)


@pytest.mark.parametrize(
    "text",
    ["dag_id: d\ntasks: {<<: {a: {operator: empty}}}\n", "dags: {<<: {d: {a: []}}}\n"],
)
def test_a_merge_key_of_an_editor_is_taken(text: str, validator: Any) -> None:
    """Editors validate YAML with its merge keys left as they are."""
    value = read_string(text) and yaml.load(text, yaml.BaseLoader)  # noqa: S506
    assert validator.is_valid(value)


def test_the_misspelt_key_is_named(validator: Any) -> None:
    given = {"dag_id": "d", "tasks": {"a": {"operator": "empty"}}, "tgas": ["x"]}
    (error,) = validator.iter_errors(given)
    assert "'tgas'" in error.message


def test_keys_of_a_dag_are_offered_inside_dags() -> None:
    schema = json_schema()
    inside = schema["then"]["properties"]["dags"]["additionalProperties"]
    assert inside == {"$ref": "#/definitions/any_dag"}
    assert {"schedule", "tags", "tasks"} <= schema["definitions"]["any_dag"]["properties"].keys()


def test_an_operator_is_compared_with_a_pattern() -> None:
    """Editors take the beginning of an enum's value as equal to it when they complete keys."""
    conditions = [one["if"] for one in json_schema()["definitions"]["task"]["allOf"]]
    assert conditions
    for condition in conditions:
        assert condition["properties"]["operator"].keys() == {"pattern"}
