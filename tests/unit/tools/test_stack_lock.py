import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tools.stack_lock import own_backend, stale_locks

HERE = socket.gethostname()


@pytest.fixture
def gone() -> int:
    """The number of a process that has ended."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


def lock(state: Path, pid: int, host: str = HERE, *, stack: str = "local") -> Path:
    """Write a lock as Pulumi's file backend does, with the file of attributes beside it."""
    file = state / "state" / ".pulumi" / "locks" / "organization" / "dairflow" / stack / "x.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"pid": pid, "username": "alice", "hostname": host}))
    file.with_name("x.json.attrs").write_text("{}")
    return file


def test_a_lock_without_a_process_is_stale_and_goes_as_a_whole(tmp_path: Path, gone: int) -> None:
    file = lock(tmp_path, gone)
    (stale,) = stale_locks(tmp_path / "state", "local")
    assert stale.pid == gone
    stale.remove()
    assert list(file.parent.iterdir()) == []


def test_a_reused_process_number_is_not_a_pulumi(tmp_path: Path) -> None:
    lock(tmp_path, os.getpid())
    assert stale_locks(tmp_path / "state", "local")


def test_a_pulumi_that_lives_keeps_its_lock(tmp_path: Path) -> None:
    pulumi = tmp_path / "pulumi"
    pulumi.symlink_to("/bin/sleep")
    with subprocess.Popen([pulumi, "60"]) as alive:
        lock(tmp_path, alive.pid)
        assert stale_locks(tmp_path / "state", "local") == []
        alive.kill()


def test_a_killed_pulumi_that_nobody_has_waited_for_is_dead(tmp_path: Path) -> None:
    pulumi = tmp_path / "pulumi"
    pulumi.symlink_to(sys.executable)
    with subprocess.Popen([pulumi, "-c", ""]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        lock(tmp_path, zombie.pid)
        assert stale_locks(tmp_path / "state", "local")


@pytest.mark.parametrize("text", ["", "{}", '{"pid": "many", "hostname": "x"}', "[]"])
def test_a_lock_that_cannot_be_read_is_left_to_pulumi(tmp_path: Path, text: str) -> None:
    lock(tmp_path, 1).write_text(text)
    assert stale_locks(tmp_path / "state", "local") == []


def test_other_machines_and_other_stacks_are_left_alone(tmp_path: Path, gone: int) -> None:
    lock(tmp_path, gone, "another-host")
    lock(tmp_path, gone, stack="mine")
    assert stale_locks(tmp_path / "state", "local") == []


def test_the_backend_is_the_projects_own_only_if_no_other_was_chosen(tmp_path: Path) -> None:
    credentials = tmp_path / "pulumi" / "credentials.json"
    assert own_backend(tmp_path, {}) is None
    credentials.parent.mkdir()
    credentials.write_text(json.dumps({"current": f"file://{tmp_path}/state"}))
    assert own_backend(tmp_path, {}) == tmp_path / "state"
    for name in ("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN", "PULUMI_CREDENTIALS_PATH"):
        assert own_backend(tmp_path, {name: "theirs"}) is None
    credentials.write_text(json.dumps({"current": "s3://team"}))
    assert own_backend(tmp_path, {}) is None
