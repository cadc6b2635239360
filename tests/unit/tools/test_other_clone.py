"""Set-up in a shell in which the `env.sh` of another clone was sourced."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import other_clone

ROOT = Path(__file__).parents[3]


@pytest.fixture
def sourced(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a shell after `. env.sh` in another clone, which is set up."""
    clone = tmp_path / "another clone"
    for folder in (".dairflow/bin", ".dairflow/pulumi", ".venv/bin"):
        (clone / folder).mkdir(parents=True)
    (clone / ".dairflow" / "passphrase").touch()
    (clone / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (clone / ".dairflow" / "bin" / "pulumi").symlink_to("/bin/true")
    shutil.copy(ROOT / "env.sh", clone)
    printed = subprocess.run(
        ["bash", "-euc", f'. "{clone}/env.sh"; env -0'],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return dict(line.split("=", 1) for line in printed.split("\0") if line)


def test_nothing_of_the_other_clone_is_used(sourced: dict[str, str]) -> None:
    assert "another clone" in sourced["PATH"]
    other_clone.leave(sourced, ROOT)
    assert sourced["PATH"] == "/usr/bin:/bin"
    assert [name for name, value in sourced.items() if "another clone" in value] == []


def test_a_users_own_settings_stay(sourced: dict[str, str]) -> None:
    own = {"PULUMI_HOME": "/mine", "PULUMI_CONFIG_PASSPHRASE_FILE": "/my/passphrase"}
    sourced |= {**own, "PATH": f"/my/bin{os.pathsep}{sourced['PATH']}"}
    other_clone.leave(sourced, ROOT)
    assert own.items() <= sourced.items()
    assert sourced["PATH"] == "/my/bin:/usr/bin:/bin"


def test_the_clones_own_environment_stays(sourced: dict[str, str]) -> None:
    before = dict(sourced)
    other_clone.leave(sourced, Path(sourced["DAIRFLOW_ROOT"]))
    assert sourced == before


def test_set_up_leaves_it_before_its_first_step(sourced: dict[str, str]) -> None:
    script = (
        "import os, tools.setup as setup\n"
        "setup.run_steps = lambda *_: print(os.environ['PATH']) or []\n"
        "setup.image_names.remove_unused = lambda _: []\n"
        "setup.main(['--for', 'up'])\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**sourced, "XDG_CACHE_HOME": sourced["HOME"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.splitlines()[0] == "/usr/bin:/bin"
