"""The phases of an edit, read off what Pulumi prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import edit

if TYPE_CHECKING:
    import pytest

IMAGE = " ~  docker:index/image:Image airflow-image updating"
STACK = " ~  pulumi-python:dynamic/stack:Stack airflow"
PRINTED = (
    f"{IMAGE} (2s) Step 30/30 : COPY dags /opt/airflow/dags",
    f"{IMAGE} (4s) Pushing 127.0.0.1:2/airflow:c: 1 of 9",
    f"{STACK} updating (0s)",
    f"{STACK} updating (2s) worker 1/2 (worker-1: pulling image)",
    f"{STACK} updating (3s) worker 1/2 (worker-1: starting)",
    f"{STACK} updating (5s) worker 1/2 (worker-2: pulling image)",
    f"{STACK} updating (7s) worker 1/2 (worker-2: starting)",
    f"{STACK} updated (9s)",
)


def test_each_phase_ends_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(edit.time, "monotonic", lambda: float(next(clock)))
    phases = edit.Phases(started=-1.0)
    for line in PRINTED:
        phases.see(line)
    phases.close()
    assert phases.ended == {"build": 2, "push": 3, "pull": 7, "start": 8, "live": 9}
