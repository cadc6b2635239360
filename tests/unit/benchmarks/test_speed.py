"""The two sets of settings that the benchmark of speed compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchmarks import speed

COMPOSE = Path(__file__).parents[3] / "docker-compose.yaml"
DAGS = Path("/some/dags")
PARTS = ("scheduler", "worker", "dag-processor", "triggerer", "api-server")


def test_the_official_settings_are_airflows_defaults() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    ours = {part: set(speed.OURS) & set(services[part]["environment"]) for part in PARTS}
    assert set.union(*ours.values()) == set(speed.OURS), "one that the compose file does not have"
    official: Any = speed.changes(DAGS, official=True)
    for part in PARTS:
        assert official[part]["environment"] == dict.fromkeys(ours[part])
    assert official["scheduler"]["command"] == "airflow scheduler"
    assert official["worker"]["command"] == "airflow celery worker"


def test_ours_are_the_compose_file_s() -> None:
    ours: Any = speed.changes(DAGS, official=False)
    assert {key for change in ours.values() for key in change} == {"volumes"}
    assert ours["worker"]["volumes"] == ["/some/dags:/opt/airflow/dags:ro"]
