"""The packages of the operating system, on machines with and without apt."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tools.errors import SetupError
from tools.host import Host
from tools.packages import Apt, SystemPackages

MakeProgram = Callable[..., Path]


def packages(host: Host, logs: Path, *, engine_answers: bool) -> SystemPackages:
    apt = Apt(host=host, logs=logs, say=lambda _: None)
    return SystemPackages(apt=apt, engine_answers=lambda: engine_answers)


@pytest.fixture(autouse=True)
def _docker_without_an_engine(
    programs: MakeProgram, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The commands `docker` and `ssh` are there, and no `dockerd` anywhere."""
    programs("docker")
    programs("ssh")
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    monkeypatch.setattr("tools.packages.SYSTEM_PROGRAMS", str(tmp_path / "programs"))


@pytest.mark.parametrize("system", ["Darwin", "Linux"])
def test_without_apt_a_stopped_docker_is_not_a_missing_package(
    host: Host, tmp_path: Path, system: str
) -> None:
    other = replace(host, system=system, distribution="", has_apt=False, is_root=False)
    assert packages(other, tmp_path, engine_answers=False).missing() == []


def test_with_apt_it_is(host: Host, tmp_path: Path) -> None:
    assert "docker.io" in packages(host, tmp_path, engine_answers=False).missing()
    assert "docker.io" not in packages(host, tmp_path, engine_answers=True).missing()


@pytest.mark.parametrize(("system", "distribution"), [("Darwin", ""), ("Linux", "fedora")])
def test_apt_get_is_not_suggested_without_apt(
    host: Host, tmp_path: Path, system: str, distribution: str
) -> None:
    other = replace(host, system=system, distribution=distribution, has_apt=False)
    with pytest.raises(SetupError) as caught:
        Apt(host=other, logs=tmp_path, say=print).install(["golang-go"], why="Go")
    message = str(caught.value)
    assert message.startswith("Go: ")
    assert f"this is {distribution or system}" in message
    assert "golang-go" in message
    assert "apt-get" not in message
