"""How PostgreSQL is sized from the memory that it may use: the real script over files of a test."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

IMAGE = Path(__file__).parents[3] / "images" / "postgres"
MEBIBYTE = 1024 * 1024
UNLIMITED_V1 = "9223372036854771712"


def bash(script: str, **environment: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={"PATH": "/usr/bin:/bin"} | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return done.stdout.strip()


def budget(folder: Path, *, total: int, v1: str = "", v2: str = "") -> int:
    """Return the budget in MiB of a machine with ``total`` MiB and one version's limit."""
    (folder / "memory").mkdir()
    if v1:
        (folder / "memory" / "memory.limit_in_bytes").write_text(f"{v1}\n")
    if v2:
        (folder / "memory.max").write_text(f"{v2}\n")
    (folder / "meminfo").write_text(f"MemTotal: {total * 1024} kB\nMemFree: 7 kB\n")
    script = f". {IMAGE}/settings.sh; memory_budget"
    return int(bash(script, CGROUP=str(folder), MEMINFO=str(folder / "meminfo"))) // MEBIBYTE


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, 2_000),
        ({"v1": UNLIMITED_V1}, 2_000),
        ({"v2": "max"}, 2_000),
        ({"v1": str(1_000 * MEBIBYTE)}, 1_000),
        ({"v2": str(1_500 * MEBIBYTE)}, 1_500),
        ({"v2": str(9_000 * MEBIBYTE)}, 2_000),
        ({"v2": str(7_000 * MEBIBYTE)}, 4_000),
    ],
)
def test_a_limit_is_postgresqls_own_and_a_machine_is_shared(
    tmp_path: Path, limits: dict[str, str], expected: int
) -> None:
    assert budget(tmp_path, total=8_000, **limits) == expected


@pytest.mark.parametrize(
    ("mebibytes", "expected"),
    [
        (256, {"shared_buffers": "64MB", "work_mem": "4MB", "max_wal_size": "512MB"}),
        (1_536, {"shared_buffers": "384MB", "work_mem": "8MB", "max_wal_size": "768MB"}),
        (65_536, {"shared_buffers": "8192MB", "work_mem": "64MB", "max_wal_size": "4096MB"}),
    ],
)
def test_shares_of_the_budget_have_bounds(mebibytes: int, expected: dict[str, str]) -> None:
    text = bash(f". {IMAGE}/settings.sh; server_settings {mebibytes * MEBIBYTE} 434")
    settings = dict(line.split(" = ") for line in text.splitlines() if not line.startswith("#"))
    assert settings.items() >= expected.items()
    assert settings["max_connections"] == "434"


def test_the_major_version_is_in_one_place() -> None:
    for file in IMAGE.iterdir():
        lines = [line for line in file.read_text().splitlines() if re.search(r"\b17\b", line)]
        expected = ["ARG POSTGRES_MAJOR=17"] if file.name == "Dockerfile" else []
        assert lines == expected, file.name


def test_every_managers_web_server_has_its_connections() -> None:
    """Two on each of seven managers; two pools of 15 in a process, as Airflow's defaults are."""
    limit = int(bash(f". {IMAGE}/connections.sh; connection_limit airflow"))
    assert limit >= 2 * 7 * 2 * 15 + 4 * 15
