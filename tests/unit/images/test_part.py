"""The end of Airflow's own command as the image runs it, without Airflow."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PART = Path(__file__).parents[3] / "images" / "airflow" / "part.py"
ENTRYPOINT = """#!/bin/sh
echo "starts again: $*" >&2
exec {python} {part} "$@"
"""


def end(
    tmp_path: Path, body: str, part_name: str = "dag-processor", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run ``part.py`` with a command of Airflow's that has this body."""
    part, entrypoint = tmp_path / "part.py", tmp_path / "entrypoint.sh"
    shutil.copy(PART, part)
    entrypoint.write_text(ENTRYPOINT.format(python=sys.executable, part=part))
    entrypoint.chmod(0o755)
    package = tmp_path / "airflow"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(f"import atexit, sys\n\n\ndef main():\n    {body}\n")
    return subprocess.run(
        [sys.executable, str(part), part_name, "--bundle-name"],
        env={"PYTHONPATH": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("body", "status", "printed"),
    [
        ("pass", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(0)", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('it says why')", 1, "it says why"),
        ("raise ValueError('it says why')", 1, "ValueError: it says why"),
        ("atexit.register(print, 'closed', file=sys.stderr); sys.exit(2)", 2, "closed"),
    ],
)
def test_a_part_ends_with_its_own_status(
    tmp_path: Path, body: str, status: int, printed: str
) -> None:
    ended = end(tmp_path, body)
    assert ended.returncode == status
    assert printed in ended.stderr


def test_a_part_ends_without_a_last_collection(tmp_path: Path) -> None:
    """A cycle that could not be collected in less than an hour."""
    body = (
        "import time\n"
        "    class Slow:\n"
        "        def __del__(self):\n"
        "            time.sleep(3_600)\n"
        "    one = Slow()\n"
        "    one.self = one"
    )
    assert end(tmp_path, body).returncode == 0


AWAY = """
    import os, subprocess
    class OperationalError(Exception): pass
    if os.environ.get("DAIRFLOW_STARTS", "1") == "{times}":
        print("served", *sys.argv[1:])
        return
    subprocess.Popen(["sleep", "3600"])
    try:
        raise OperationalError("could not translate host name")
    except OperationalError as error:
        raise RuntimeError("it cannot start") from error
"""


def test_a_part_that_the_database_leaves_waits_and_starts_again(tmp_path: Path) -> None:
    """Without the processes that its first start had: they hold this test's output open."""
    ended = end(tmp_path, AWAY.format(times=3))
    assert ended.returncode == 0
    assert ended.stdout == "served dag-processor --bundle-name\n"
    assert ended.stderr.count("starts again: dag-processor --bundle-name") == 2
    assert "could not translate host name" in ended.stderr


def test_a_database_that_answers_with_an_error_ends_the_part(tmp_path: Path) -> None:
    ended = end(tmp_path, AWAY.format(times="never"))
    assert ended.returncode == 1
    assert ended.stderr.count("starts again: dag-processor") == 4


LEAVES = """
    import os, pathlib
    class OperationalError(Exception): pass
    counted = pathlib.Path("{counted}")
    starts = len(counted.read_text()) if counted.exists() else 0
    if starts == 7:
        return
    counted.write_text("." * (starts + 1))
    raise OperationalError("the server closed the connection")
"""


def test_what_has_run_for_long_may_lose_the_database_any_number_of_times(tmp_path: Path) -> None:
    """A cluster that runs for a year has more absences than a start may have failures."""
    body = LEAVES.format(counted=tmp_path / "counted")
    assert end(tmp_path, body).returncode == 1
    (tmp_path / "counted").unlink()
    ended = end(tmp_path, body, DAIRFLOW_SERVED_SECONDS="0")
    assert ended.returncode == 0
    assert ended.stderr.count("starts again: ") == 7


SERVER = """
    import multiprocessing

    from airflow.served import serve
    child = multiprocessing.get_context("spawn").Process(target=serve)
    child.start()
    child.join()
    sys.exit(child.exitcode)
"""
SERVED = """
def serve():
    import jwt_keys, log_copies
    print("accepts", jwt_keys.installed, "reads", log_copies.installed)
"""


@pytest.mark.parametrize(("store", "reads"), [("", False), ("log-store", True)])
def test_each_process_of_the_api_server_is_changed(
    tmp_path: Path, store: str, *, reads: bool
) -> None:
    """With several ``[api] workers`` uvicorn spawns processes of its own."""
    (tmp_path / "airflow").mkdir()
    (tmp_path / "airflow" / "served.py").write_text(SERVED)
    for name in ("jwt_keys", "log_copies"):
        body = "installed = False\n\n\ndef install():\n    global installed\n    installed = True\n"
        (tmp_path / f"{name}.py").write_text(body)
    ended = end(tmp_path, SERVER, "api-server", LOG_STORE=store)
    assert ended.stdout == f"accepts True reads {reads}\n", ended.stderr
