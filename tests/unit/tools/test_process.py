import os
from pathlib import Path

import pytest

from tools.errors import SetupError
from tools.process import probe, run_logged


def test_a_missing_program_is_an_answer() -> None:
    answer = probe(["no-such-program-anywhere"], timeout=5)
    assert answer.returncode == 127
    assert "no-such-program-anywhere" in answer.stderr


def test_a_program_that_hangs_is_an_answer() -> None:
    answer = probe(["sleep", "30"], timeout=0.2)
    assert answer.returncode == 124
    assert "0.2 s" in answer.stderr


def test_a_failure_shows_command_status_last_lines_and_log(
    tmp_path: Path, printed: list[str]
) -> None:
    log = tmp_path / "logs" / "build.log"
    command = ["sh", "-c", "echo working; echo no such module >&2; exit 3"]
    with pytest.raises(SetupError) as caught:
        run_logged(command, log=log, timeout=10, say=printed.append)
    message = str(caught.value)
    assert "status 3" in message
    assert "    no such module" in message
    assert str(log) in message


def test_a_timeout_ends_the_command_and_its_children(tmp_path: Path, printed: list[str]) -> None:
    pid_file = tmp_path / "pid"
    command = ["sh", "-c", f"sleep 60 & echo $! > {pid_file}; wait"]
    with pytest.raises(SetupError, match="was not done after 1 s"):
        run_logged(command, log=tmp_path / "log", timeout=1, say=printed.append)
    child = int(pid_file.read_text())
    assert not _runs(child)


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path, printed: list[str]) -> None:
    with pytest.raises(SetupError, match="`no-such-program` cannot be started"):
        run_logged(["no-such-program"], log=tmp_path / "log", timeout=1, say=printed.append)


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]
    except OSError:
        return False
    finally:
        assert pid != os.getpid()
