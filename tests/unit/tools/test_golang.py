import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools import versions
from tools.errors import SetupError
from tools.golang import GoFinder

if TYPE_CHECKING:
    from tests.unit.tools.conftest import FakeApt

MakeProgram = Callable[..., Path]


def finder(apt: "FakeApt", printed: list[str], *found: Path) -> GoFinder:
    return GoFinder(apt=apt, say=printed.append, programs=lambda: list(found))


def go(programs: MakeProgram, version: str, script: str = "") -> Path:
    answer = f'if [ "$1" = version ]; then echo "go version go{version} linux/amd64"; exit; fi'
    return programs(f"go-{version}", f"{answer}\n{script}")


def test_a_new_enough_go_is_used_as_it_is(
    apt: "FakeApt", printed: list[str], programs: MakeProgram
) -> None:
    program = go(programs, "1.26.8")
    found = finder(apt, printed, program).find()
    assert (found.program, found.toolchain) == (program, "local")
    assert printed == []


def test_the_newest_of_several_is_used(
    apt: "FakeApt", printed: list[str], programs: MakeProgram
) -> None:
    old, new = go(programs, "1.19.8"), go(programs, "1.26.8")
    assert finder(apt, printed, old, new).find().program == new


def test_debian_13s_go_switches_by_itself(
    apt: "FakeApt", printed: list[str], programs: MakeProgram
) -> None:
    found = finder(apt, printed, go(programs, "1.24.4")).find()
    assert found.environment()["GOTOOLCHAIN"] == f"go{versions.GO}"
    assert "1.24.4 is here" in printed[0]


def test_debian_12s_go_downloads_the_toolchain(
    apt: "FakeApt", printed: list[str], programs: MakeProgram, tmp_path: Path
) -> None:
    folder = tmp_path / "toolchain"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "go").write_text("")
    (folder / "src").mkdir()
    (folder / "src" / "_go.mod").write_text("module std")
    script = f"echo \"$*\" > {tmp_path}/asked; echo '{json.dumps({'Dir': str(folder)})}'"
    found = finder(apt, printed, go(programs, "1.19.8", script)).find()
    assert (found.program, found.toolchain) == (folder / "bin" / "go", "local")
    assert found.program.stat().st_mode & 0o111
    assert (folder / "src" / "go.mod").read_text() == "module std"
    asked = (tmp_path / "asked").read_text()
    assert f"golang.org/toolchain@v0.0.1-go{versions.GO}.linux-amd64" in asked


def test_without_go_the_distributions_is_installed(
    apt: "FakeApt", printed: list[str], programs: MakeProgram
) -> None:
    program = go(programs, "1.24.4")
    step = GoFinder(
        apt=apt, say=printed.append, programs=lambda: [program] if apt.installed else []
    )
    assert step.find().program == program
    assert apt.installed == ["golang-go"]


def test_a_missing_go_is_reported_with_what_to_do(apt: "FakeApt", printed: list[str]) -> None:
    with pytest.raises(SetupError, match="unpack it to /usr/local/go"):
        finder(apt, printed).find()


def test_the_users_go_settings_do_not_change_a_build(
    apt: "FakeApt", printed: list[str], programs: MakeProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOROOT", "/opt/another-go")
    monkeypatch.setenv("GOFLAGS", "-mod=mod -race")
    environment = finder(apt, printed, go(programs, "1.26.8")).find().environment()
    assert "GOROOT" not in environment
    assert environment["GOFLAGS"] == "-mod=readonly -buildvcs=false"
    assert environment["CGO_ENABLED"] == "0"
