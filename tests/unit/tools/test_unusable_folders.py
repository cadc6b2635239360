"""Set-up in folders in which it cannot work, run by a user who is not root."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NOBODY = 65_534
SYSTEM_PYTHON = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin") or sys.executable
"""The one that every user may run: a user's own may be in a home folder that is closed."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that every user may enter, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="dairflow-test-"))
    path.chmod(0o755)
    yield path
    for each in (path, *path.rglob("*")):
        if each.is_dir():
            each.chmod(0o755)
    shutil.rmtree(path)


def clone_in(folder: Path) -> Path:
    clone = folder / "clone"
    shutil.copytree(
        ROOT / "tools",
        clone / "tools",
        ignore=shutil.ignore_patterns("__pycache__", "go_modules", "plugins"),
    )
    return clone


def set_up(clone: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SYSTEM_PYTHON, "-B", "-m", "tools.setup"],
        cwd=clone,
        env={"PATH": os.environ["PATH"], **environment},
        user=NOBODY if os.geteuid() == 0 else None,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_clone_and_a_cache_that_cannot_be_written_are_reported_together(folder: Path) -> None:
    clone = clone_in(folder)
    (folder / "cache").mkdir()
    for each in (clone, folder / "cache"):
        each.chmod(0o555)
    done = set_up(clone, HOME=str(folder), XDG_CACHE_HOME=str(folder / "cache"))
    assert done.returncode == 1
    assert f"The folder {clone} is not writable by you." in done.stderr
    assert f"The folder {folder / 'cache'} is not writable by you." in done.stderr
    assert "set XDG_CACHE_HOME" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(each.name for each in folder.iterdir()) == ["cache", "clone"]
    assert list((folder / "cache").iterdir()) == []


@pytest.mark.parametrize(("name", "word"), [("a:b", "a colon"), ("a\nb", "a line break")])
def test_a_path_that_mounts_cannot_express_is_refused(folder: Path, name: str, word: str) -> None:
    clone = clone_in(folder / name)
    done = set_up(clone, HOME=str(folder))
    assert done.returncode == 1
    assert f"contains {word}" in done.stderr
    assert "Traceback" not in done.stderr
