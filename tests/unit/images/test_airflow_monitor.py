"""Flower without what belongs to tasks; the real application, without its broker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

IMAGE = Path(__file__).parents[3] / "images" / "airflow"
TOKEN = "eyJhbGciOiJIUzUxMiJ9"

CHECK = f"""
import asyncio, json, os
from unittest.mock import Mock
from dairflow import monitor
import flower.app
from flower.options import options
from flower.urls import handlers

message = {{"args": "('{TOKEN}',)", "kwargs": "{TOKEN}", "uuid": "u", "type": "task-received"}}
kept = []
events = monitor.PrivateEvents.__new__(monitor.PrivateEvents)
events.io_loop = Mock(add_callback=lambda call: call())
events.state = Mock(event=kept.append)
events.on_event(message)
inspector = monitor.PrivateInspector(None, None, 1)
inspector._on_update("w", "reserved", [{{"id": "u", "args": ["{TOKEN}"], "kwargs": {{}}}}])
later = {{"eta": 1, "request": {{"id": "u", "args": "{TOKEN}"}}}}
inspector._on_update("w", "scheduled", [later])
print(json.dumps([kept, inspector.workers["w"]]))
async def answer(self, method, workername):
    self._on_update("stays", method, {{}})
flower.inspector.Inspector._inspect_method = answer
inspector.workers["left"] = {{"timestamp": 0}}
options.purge_offline_workers = 10
asyncio.run(inspector._inspect_all("stays"))
assert set(inspector.workers) == {{"w", "left", "stays"}}
asyncio.run(inspector._inspect_all(None))
assert set(inspector.workers) == {{"w", "stays"}}
assert flower.app.Events is monitor.PrivateEvents
assert flower.app.Inspector is monitor.PrivateInspector
classes = {{h[1].__name__ for h in handlers if isinstance(h, tuple)}}
assert "Metrics" not in classes and "SignedInMetrics" in classes
assert options.basic_auth == ["admin:one:two"], options.basic_auth
assert monitor.app.conf.broker_url == "redis://:a%2Fb@redis:6379/0"
assert not [v for v in os.environ.values() if "one:two" in v or "a/b" in v or "a%2Fb" in v]
"""


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the module changes Flower for good."""
    return subprocess.run(
        [sys.executable, "-c", CHECK],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(IMAGE), "SECRETS": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_flower_drops_arguments_and_signs_in_metrics(tmp_path: Path) -> None:
    (tmp_path / "redis_password").write_text("a/b")
    (tmp_path / "flower_password").write_text("one:two\n")
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout
    assert '"uuid": "u"' in done.stdout


def test_flower_does_not_start_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "redis_password").write_text("a/b")
    done = run(tmp_path)
    assert done.returncode == 1
    assert "the secret flower_password is missing" in done.stderr
