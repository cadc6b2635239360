from collections.abc import Callable
from pathlib import Path

import pytest

from tools import versions
from tools.environment import Uv
from tools.errors import SetupError
from tools.paths import Paths
from tools.target_packages import TargetPackages

MakeProgram = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("programs")
UV = f"""
if [ "$1" = --version ]; then echo "uv {versions.UV}"; exit; fi
echo "$*" >> calls
case $1 in
    export) while [ $# -gt 1 ]; do [ "$1" = --output-file ] && echo locked > "$2"; shift; done ;;
    pip) while [ $# -gt 1 ]; do [ "$1" = --target ] && touch "$2/package"; shift; done ;;
esac
"""


@pytest.fixture
def step(paths: Paths, printed: list[str]) -> TargetPackages:
    (paths.repository / "tools").mkdir()
    for file in ("uv.lock", "pyproject.toml", "tools/uv-requirements.txt"):
        (paths.repository / file).write_text(file)
    uv = Uv(paths=paths, say=printed.append)
    return TargetPackages(paths=paths, uv=uv, target="aws", say=printed.append)


def test_the_group_goes_into_a_folder_beside_the_environments_packages(
    step: TargetPackages, paths: Paths, programs: MakeProgram
) -> None:
    programs("uv", UV)
    assert step.check() is None
    step.install()
    assert (paths.environment / "targets" / "aws" / "package").exists()
    export, install = (paths.repository / "calls").read_text().splitlines()
    assert "--frozen --only-group aws" in export
    assert "--prune pulumi" in export
    assert "--no-deps --require-hashes" in install
    assert step.check() == str(paths.environment / "targets" / "aws")


def test_the_folder_follows_the_lock(
    step: TargetPackages, paths: Paths, programs: MakeProgram
) -> None:
    programs("uv", UV)
    step.install()
    (paths.repository / "uv.lock").write_text("another lock")
    assert step.check() is None


def test_half_an_installation_counts_for_nothing(
    step: TargetPackages, programs: MakeProgram
) -> None:
    programs("uv", UV.replace("pip)", "pip) echo 'no such package' >&2; exit 2;"))
    with pytest.raises(SetupError, match="no such package"):
        step.install()
    assert step.check() is None
