"""What the image's scheduler changes in Airflow: which queued tasks it takes for lost."""

from __future__ import annotations

import inspect
import re
import socket
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import lost_messages
import pytest
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from celery import Celery

LOCK = Path(__file__).parents[3] / "images" / "airflow" / "pypi_only.lock"
LIMIT = 600.0


def test_the_tests_run_with_the_image_s_airflow() -> None:
    for package in ("apache-airflow-core", "apache-airflow-task-sdk"):
        assert f"\n{package}=={version(package)} " in LOCK.read_text().replace("\\", " ")


def test_the_check_for_stuck_tasks_is_where_it_is_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = getattr(SchedulerJobRunner, lost_messages.SEARCH)
    monkeypatch.setattr(SchedulerJobRunner, lost_messages.SEARCH, original)
    caller = inspect.getsource(SchedulerJobRunner._handle_tasks_stuck_in_queued)
    assert re.search(r"self\._get_tis_stuck_in_queued\(session\)", caller)
    assert list(inspect.signature(original).parameters) == ["self", "session"]
    assert "_task_queued_timeout" in inspect.getsource(SchedulerJobRunner._maybe_requeue_stuck_ti)
    lost_messages.install()
    assert getattr(SchedulerJobRunner, lost_messages.SEARCH) is not original


def test_an_airflow_without_that_check_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(SchedulerJobRunner, lost_messages.SEARCH)
    with pytest.raises(AttributeError, match=lost_messages.SEARCH):
        lost_messages.install()


def test_a_message_that_waits_is_never_lost() -> None:
    absences = lost_messages.Absences()
    for day in range(30):
        now = day * 86_400.0
        assert absences.longer_than(LIMIT, {"a"}, {"a"}, now) == set()


def test_a_message_is_lost_when_it_has_been_absent_for_long() -> None:
    absences = lost_messages.Absences()
    assert absences.longer_than(LIMIT, {"a", "b"}, {"b"}, 0.0) == set()
    assert absences.longer_than(LIMIT, {"a", "b"}, {"b"}, 599.0) == set()
    assert absences.longer_than(LIMIT, {"a", "b"}, {"b"}, 600.0) == {"a"}


def test_a_message_that_a_worker_has_just_received_is_not_lost() -> None:
    """It waited for an hour, and its task takes a moment to start."""
    absences = lost_messages.Absences()
    absences.longer_than(LIMIT, {"a"}, {"a"}, 0.0)
    assert absences.longer_than(LIMIT, {"a"}, set(), 3_600.0) == set()


def test_a_message_that_came_back_starts_again() -> None:
    absences = lost_messages.Absences()
    absences.longer_than(LIMIT, {"a"}, set(), 0.0)
    absences.longer_than(LIMIT, {"a"}, {"a"}, 300.0)
    assert absences.longer_than(LIMIT, {"a"}, set(), 700.0) == set()


def test_a_task_that_started_is_forgotten() -> None:
    absences = lost_messages.Absences()
    absences.longer_than(LIMIT, {"a"}, set(), 0.0)
    absences.longer_than(LIMIT, set(), set(), 300.0)
    assert absences.longer_than(LIMIT, {"a"}, set(), 700.0) == set()


def test_nothing_is_lost_while_the_broker_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All messages are absent then: the scheduler continues, and checks again later."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed_port = probe.getsockname()[1]
    app = Celery(broker=f"redis://127.0.0.1:{closed_port}/0")
    runner: Any = SimpleNamespace(log=Mock())
    task = SimpleNamespace(queue="default")
    session: Any = None
    monkeypatch.setattr(lost_messages, "queued", lambda *_: {"a": task})
    monkeypatch.setattr(lost_messages, "LOST_MESSAGE_SECONDS", 0.0)
    assert lost_messages.lost(runner, session, app, lost_messages.Absences()) == []
    assert "the broker does not answer" in runner.log.warning.call_args.args[0]
