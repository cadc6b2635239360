import stat
from pathlib import Path

import pytest

from tools.paths import Paths
from tools.readable_sources import MOUNTED, ReadableSources


@pytest.fixture
def files(paths: Paths) -> list[Path]:
    """Return what a clone under umask 077 has."""
    made: list[Path] = []
    for name in MOUNTED:
        folder = paths.repository / name
        (folder / "inner").mkdir(parents=True)
        (folder / "inner" / "dag.py").touch()
        (folder / "dangling").symlink_to("nowhere")
        made += [folder / "inner" / "dag.py", folder / "inner", folder]
    for each in made:
        each.chmod(0o700 if each.is_dir() else 0o600)
    return made


def test_what_is_closed_is_opened_for_reading_only(
    paths: Paths, files: list[Path], printed: list[str]
) -> None:
    step = ReadableSources(paths=paths, say=printed.append)
    assert step.check() is None
    step.install()
    assert step.check()
    modes = {stat.S_IMODE(each.stat().st_mode) for each in files}
    assert modes == {0o755, 0o644}


def test_what_is_open_is_left_alone(paths: Paths, files: list[Path], printed: list[str]) -> None:
    for each in files:
        each.chmod(0o755 if each.is_dir() else 0o664)
    assert ReadableSources(paths=paths, say=printed.append).check()
