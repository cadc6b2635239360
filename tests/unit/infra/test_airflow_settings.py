"""Any option of Airflow's as a setting: which there are, and what the services get."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from infra.airflow_settings import (
    OPTIONS_FILE,
    OWNED,
    airflow_config,
    airflow_problems,
    unknown_sections,
)
from infra.secret_values import with_secrets
from tools.airflow_options import airflow_options

if TYPE_CHECKING:
    from pathlib import Path

KEY = "dairflow:airflowConfig"


def test_the_options_are_those_of_the_locked_airflow() -> None:
    command = f"python -m tools.airflow_options > {OPTIONS_FILE}"
    assert OPTIONS_FILE.read_text().splitlines() == airflow_options(), command


def test_the_project_owns_options_that_exist() -> None:
    known = {line.removesuffix(" *") for line in OPTIONS_FILE.read_text().splitlines()}
    assert set(OWNED) <= known


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
