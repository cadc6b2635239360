"""When the scheduler's pause ends."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import wake
from airflow.jobs import scheduler_job_runner
from redis.exceptions import ConnectionError as RedisConnectionError


class Results:
    """Published results: a list of messages, or an error at each question."""

    def __init__(self, *messages: object, error: Exception | None = None) -> None:
        self.messages = list(messages)
        self.error = error
        self.patterns: list[object] = []
        self.subscriptions = 0

    def pubsub(self) -> Results:
        self.subscriptions += 1
        return self

    def psubscribe(self, pattern: object) -> None:
        self.patterns.append(pattern)

    def get_message(self, *, ignore_subscribe_messages: bool, timeout: float) -> object:
        assert ignore_subscribe_messages
        if self.error:
            raise self.error
        if self.messages:
            return self.messages.pop(0)
        time.sleep(timeout)
        return None


def clock(results: Results) -> Any:
    backend = SimpleNamespace(
        client=results, get_key_for_task=lambda task: f"celery-task-meta-{task}"
    )
    return wake.Clock(SimpleNamespace(backend=backend))  # type: ignore[arg-type]


def pause(waiting: Any, seconds: float) -> float:
    begun = time.monotonic()
    waiting.sleep(seconds)
    return time.monotonic() - begun


def test_a_pause_without_a_result_is_whole() -> None:
    results = Results()
    assert pause(clock(results), 0.3) >= 0.3
    assert results.patterns == ["celery-task-meta-*"]


def test_a_result_ends_the_pause_and_all_that_are_there_end_one() -> None:
    results = Results(*"abc")
    waiting = clock(results)
    assert wake.LEAST_PAUSE_SECONDS <= pause(waiting, 30) < 10
    assert pause(waiting, 0.3) >= 0.3
    assert results.subscriptions == 1


def test_results_without_an_end_do_not_take_the_pause_away(monkeypatch: pytest.MonkeyPatch) -> None:
    results = Results(*"x" * 100_000)
    monkeypatch.setattr(wake, "MOST_RESULTS", 10)
    waiting = clock(results)
    assert pause(waiting, 30) >= wake.LEAST_PAUSE_SECONDS
    assert len(results.messages) > 99_900


def test_without_redis_the_pause_is_whole_and_the_next_one_subscribes_again() -> None:
    results = Results(error=RedisConnectionError("away"))
    waiting = clock(results)
    assert pause(waiting, 0.3) >= 0.3
    results.error = None
    results.messages = ["x"]
    assert pause(waiting, 30) < 10
    assert results.subscriptions == 2


def test_no_pause_is_none() -> None:
    assert pause(clock(Results()), 0) < 1


def test_the_scheduler_pauses_by_it_and_everything_else_is_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scheduler_job_runner, "time", time)
    wake.install()
    assert isinstance(scheduler_job_runner.time, wake.Clock)
    assert scheduler_job_runner.time.monotonic() <= time.monotonic()
    with pytest.raises(AttributeError, match="see what replaces it"):
        wake.install()


def test_the_scheduler_s_only_call_of_time_is_the_pause() -> None:
    """Another one would be changed as well."""
    from pathlib import Path

    source = Path(scheduler_job_runner.__file__).read_text()
    assert source.count("time.sleep(") == source.count("time.sleep(min(self._scheduler_idle") == 1
