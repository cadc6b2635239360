"""Any option of Airflow's as a setting: which there are, and what the services get."""

from __future__ import annotations

import configparser
import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml
from pydantic import SecretStr

from infra.project import ROOT
from infra.settings.airflow import (
    OPTIONS_FILE,
    OWNED,
    airflow_config,
    airflow_problems,
    lost_guarantees,
    unknown_sections,
)
from infra.settings.airflow_guarantees import FREE, GUARANTEES
from infra.settings.airflow_values import CELERY_CONFIG, RESERVED_IN_CELERY_CONFIG
from infra.settings.report import sentences
from infra.settings.secret_values import with_secrets
from tools.airflow_options import airflow_folder, airflow_options

if TYPE_CHECKING:
    from pathlib import Path

KEY = "dairflow:airflowConfig"
AIRFLOWS_DESCRIPTIONS = airflow_folder() / "config_templates/config.yml"


def test_the_options_are_those_of_the_locked_airflow() -> None:
    command = f"python -m tools.airflow_options > {OPTIONS_FILE}"
    assert OPTIONS_FILE.read_text().splitlines() == airflow_options(), command


def known_options() -> set[str]:
    return {line.partition(" ")[0] for line in OPTIONS_FILE.read_text().splitlines()}


def problem(name: str, value: object) -> str:
    """The report on an option's value; empty if it is valid."""
    section, option = name.split(".")
    found = list(airflow_problems({"airflowConfig": {section: {option: value}}}))
    assert len(found) <= 1
    return sentences(found[0], given="") if found else ""


def set_by_the_project() -> set[str]:
    """The options that the compose file, the image and its configuration file set."""
    files = (ROOT / "docker-compose.yaml", ROOT / "images/airflow/Dockerfile")
    names = {
        f"{section}.{option}".lower()
        for file in files
        for section, option in re.findall(
            r"^\s*(?:ENV )?AIRFLOW__([A-Z0-9_]+?)__([A-Z0-9_]+)[:=]", file.read_text(), re.MULTILINE
        )
    }
    configuration = configparser.ConfigParser(interpolation=None)
    configuration.read(ROOT / "images/airflow/airflow.cfg")
    return names | {
        f"{section}.{option.removesuffix('_cmd')}"
        for section in configuration.sections()
        for option in configuration[section]
    }


def test_the_project_owns_options_that_exist() -> None:
    assert set(OWNED) <= known_options()
    open_section = "celery_broker_transport_options."
    decided = {name for name in (*GUARANTEES, *FREE) if not name.startswith(open_section)}
    assert decided <= known_options()


def test_every_option_that_the_project_sets_is_refused_warned_of_or_free() -> None:
    """Decide a new one: OWNED refuses it, GUARANTEES names what is lost, FREE has the reason."""
    found = set_by_the_project()
    assert len(found) > 40, "the files are read"
    assert found - {*OWNED, *GUARANTEES, *FREE} == set()


def test_each_option_has_one_decision() -> None:
    assert len({*OWNED, *GUARANTEES, *FREE}) == len(OWNED) + len(GUARANTEES) + len(FREE)


@pytest.mark.parametrize(
    "name",
    [
        "api.host",
        "celery.celery_config_options",
        "celery.pool",
        "celery.worker_autoscale",
        "core.plugins_folder",
        "core.unit_test_mode",
        "execution_api.jwt_expiration_time",
        "logging.secret_mask_adapter",
        "scheduler.num_runs",
        "scheduler.task_queued_timeout",
    ],
)
def test_what_nothing_works_without_is_refused_with_the_reason(name: str) -> None:
    assert problem(name, "1").endswith(f"must not be set. {OWNED[name]}")


@pytest.mark.parametrize(
    "name",
    [
        "celery.task_acks_late",
        "celery.worker_prefetch_multiplier",
        "celery_broker_transport_options.socket_timeout",
        "secrets.backend",
        "workers.execution_api_retries",
    ],
)
def test_an_option_that_a_guarantee_depends_on_is_accepted_with_a_warning(name: str) -> None:
    section, option = name.split(".")
    assert problem(name, "1") == ""
    (warning,) = lost_guarantees({section: {option: "1"}, "core": {"default_task_retries": 2}})
    assert warning.startswith(f"airflowConfig.{name}: ")
    assert warning.endswith(GUARANTEES[name])


@pytest.mark.parametrize(
    ("name", "value", "valid"),
    [
        ("core.default_timezone", None, "`pulumi config rm --path airflowConfig.core.default_t"),
        ("a_provider_of_mine.option", None, "`pulumi config rm"),
        ("core.default_timezone", "Mars/X", "a time zone's name such as Europe/Berlin"),
        ("core.default_timezone", "europe/berlin", "Did you mean Europe/Berlin?"),
        ("core.load_examples", "maybe", "True or False"),
        ("scheduler.max_tis_per_query", "1.5", "a whole number"),
        ("scheduler.max_tis_per_query", True, "a whole number"),
        ("scheduler.max_tis_per_query", "²", "a whole number"),
        ("scheduler.max_tis_per_query", "", "a whole number"),
        ("scheduler.scheduler_heartbeat_sec", "inf", "a whole number"),
        ("scheduler.scheduler_idle_sleep_time", "nan", "a number"),
        ("logging.logging_level", "LOUD", "one of CRITICAL, FATAL, ERROR, WARN, WARNING, INFO"),
        ("api.expose_config", "some", "one of boolean, non-sensitive-only"),
        (CELERY_CONFIG, "[]", "a JSON object"),
        (CELERY_CONFIG, "{", "a JSON object"),
        (CELERY_CONFIG, '{"accept_content": ["pickle"]}', "an object without accept_content"),
    ],
)
def test_a_value_that_airflow_cannot_read_is_refused(name: str, value: object, valid: str) -> None:
    assert valid in problem(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("core.default_timezone", "system"),
        ("core.default_timezone", "UTC"),
        ("core.load_examples", True),
        ("core.load_examples", "f"),
        ("scheduler.max_tis_per_query", 16),
        ("scheduler.max_tis_per_query", "16.0"),
        ("core.default_task_execution_timeout", ""),
        ("scheduler.scheduler_idle_sleep_time", "0.5"),
        ("logging.logging_level", "DEBUG"),
        ("logging.celery_logging_level", ""),
        ("api.expose_config", "non-sensitive-only"),
        ("api.expose_config", "true"),
        (CELERY_CONFIG, '{"worker_max_tasks_per_child": 10}'),
    ],
)
def test_a_value_that_airflow_reads_is_accepted(name: str, value: object) -> None:
    assert problem(name, value) == ""


def test_the_defaults_of_airflow_are_valid() -> None:
    configuration = yaml.safe_load(AIRFLOWS_DESCRIPTIONS.read_text())
    refused = {
        f"{section}.{option}": described["default"]
        for section, content in configuration.items()
        for option, described in content["options"].items()
        if described.get("default") is not None
        and (found := problem(f"{section}.{option}", str(described["default"])))
        and "must not be set" not in found
    }
    assert refused == {}


def test_the_keys_that_the_project_gives_celery_are_reserved() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    own = json.loads(compose["x-airflow-environment"]["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"])
    assert set(own) <= RESERVED_IN_CELERY_CONFIG


def test_a_secret_is_accepted_unless_airflow_reads_the_option_from_the_environment_alone() -> None:
    assert "a value without --secret" in problem("core.default_timezone", SecretStr("UTC"))
    assert problem("a_provider_of_mine.password", SecretStr("hunter2")) == ""
    # The image refuses it if the provider does not mark it as sensitive (migrate.py).


@pytest.mark.parametrize(
    ("section", "option", "value"),
    [
        ("core", "default_timezone", "Europe/Berlin"),
        ("celery_broker_transport_options", "anything", "1"),
        ("a_provider_of_mine", "option", "x"),
        ("sentry", "sentry_dsn", SecretStr("https://key@sentry.example.com/1")),
    ],
)
def test_other_options_are_taken(section: str, option: str, value: object) -> None:
    assert list(airflow_problems({"airflowConfig": {section: {option: value}}})) == []


def test_options_are_variables_and_secret_ones_are_not_among_them() -> None:
    config = airflow_config(
        {
            "core": {"default_timezone": "Europe/Berlin", "load_examples": True},
            "sentry": {"sentry_dsn": SecretStr("hunter2")},
        }
    )
    assert config.variables == {
        "AIRFLOW__CORE__DEFAULT_TIMEZONE": "Europe/Berlin",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "True",
    }
    assert config.secrets == {"AIRFLOW__SENTRY__SENTRY_DSN": "hunter2"}
    assert "hunter2" not in repr(config)


def test_a_section_of_another_package_is_named() -> None:
    assert unknown_sections({"core": {}, "a_provider_of_mine": {}}) == ["a_provider_of_mine"]


def test_what_is_encrypted_in_the_stacks_file_is_secret(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text(
        "config:\n"
        f"  {KEY}:\n"
        "    core: {default_timezone: same}\n"
        "    sentry: {sentry_dsn: {secure: AAAA}, sentry_on: true}\n"
    )
    value = {
        "core": {"default_timezone": "same"},
        "sentry": {"sentry_dsn": "same", "sentry_on": True},
    }
    assert with_secrets(value, KEY, file) == {
        "core": {"default_timezone": "same"},
        "sentry": {"sentry_dsn": SecretStr("same"), "sentry_on": True},
    }
    assert with_secrets({"core": {"a": 1}}, KEY, tmp_path / "none.yaml") == {
        "core": {"a": SecretStr("1")}
    }
    assert with_secrets({"core": {"a": None}}, KEY, file) == {"core": {"a": None}}
