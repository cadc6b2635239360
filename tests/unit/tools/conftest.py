"""A machine made of a temporary folder and of programs that are small scripts."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tools.errors import SetupError
from tools.host import Host
from tools.paths import Paths

MakeProgram = Callable[..., Path]

DEBIAN_ROOT = Host(
    system="Linux",
    distribution="debian",
    architecture="amd64",
    has_apt=True,
    is_root=True,
    has_sudo=False,
    has_systemd=False,
)


@dataclass
class FakeApt:
    """Records what would be installed; `on_install` replaces what apt then does."""

    host: Host = DEBIAN_ROOT
    versions: dict[str, str] = field(default_factory=dict)
    installed: list[str] = field(default_factory=list)

    def candidate(self, package: str) -> str | None:
        return self.versions.get(package)

    def install(self, packages: list[str], *, why: str) -> None:
        if not self.host.can_install:
            raise SetupError(why)
        self.installed += packages


@pytest.fixture
def host() -> Host:
    return DEBIAN_ROOT


@pytest.fixture
def apt() -> FakeApt:
    return FakeApt()


@pytest.fixture
def printed() -> list[str]:
    """Return what set-up printed, in order; pass `printed.append` as `say`."""
    return []


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    repository = tmp_path / "clone"
    repository.mkdir()
    return Paths(repository=repository, cache=tmp_path / "cache" / "dairflow")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeProgram:
    """Return a function that puts a shell script on PATH, which otherwise has only the system's."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(name: str, script: str = "exit 0", folder: Path = folder) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return program

    return make
