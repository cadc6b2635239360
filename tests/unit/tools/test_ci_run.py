"""`.ci/run` with a `make` and an engine that are small scripts."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

MakeProgram = Callable[..., Path]
SOURCE = Path(__file__).parents[3] / ".ci" / "run"
UNIT = "============ 2000 passed in 99.00s (0:01:39) ============"
PYTEST = "============ 2 failed, 133 passed in 4.75s ============"


@pytest.fixture
def script(tmp_path: Path, programs: MakeProgram) -> Path:
    assert programs
    copy = tmp_path / "clone" / ".ci" / "run"
    copy.parent.mkdir(parents=True)
    shutil.copy(SOURCE, copy)
    return copy


def ci_run(script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([script], capture_output=True, text=True, check=False, cwd="/")


def test_it_ends_with_pytests_closing_lines_and_makes_status(
    script: Path, programs: MakeProgram
) -> None:
    programs("docker")
    programs(
        "make",
        f'echo "$PWD $*"; echo "{UNIT}"; echo "{PYTEST}"; echo "make: *** [test] Error 1"; exit 2',
    )
    done = ci_run(script)
    assert done.returncode == 2
    lines = done.stdout.splitlines()
    assert lines[0] == f"{script.parents[1]} test"
    assert lines[-2:] == [UNIT, PYTEST]


def test_tests_cannot_wait_for_an_answer(script: Path, programs: MakeProgram) -> None:
    programs("docker")
    programs("make", "read -r line && echo got || echo nothing to read")
    assert "nothing to read" in ci_run(script).stdout


def test_an_interrupted_run_is_reported(script: Path, programs: MakeProgram) -> None:
    programs("docker")
    programs("make", "echo no rule; exit 2")
    done = ci_run(script)
    assert done.returncode == 2
    assert "pytest did not come to its end" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("ran_before", [True, False])
def test_only_an_engine_that_it_started_is_stopped(
    script: Path, programs: MakeProgram, tmp_path: Path, *, ran_before: bool
) -> None:
    pid_file = tmp_path / "docker.pid"
    text = script.read_text().replace("/var/run/docker.pid", str(pid_file))
    script.write_text(text.replace("/run/systemd/system", str(tmp_path / "no-systemd")))
    programs("docker", f"exit {0 if ran_before else 1}")
    programs("make", f"sleep 60 > /dev/null 2>&1 & echo $! > {pid_file}")
    try:
        done = ci_run(script)
        stopped = not _runs(int(pid_file.read_text()))
        assert stopped is not ran_before
        assert ("stops the Docker engine" in done.stdout) is not ran_before
    finally:
        if _runs(int(pid_file.read_text())):
            os.kill(int(pid_file.read_text()), 9)


def _runs(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()
