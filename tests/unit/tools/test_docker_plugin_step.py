import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.docker_plugin import PROGRAM, DockerPlugin
from tools.errors import SetupError
from tools.official import Official, UnreachableError
from tools.paths import Paths

VERSION = "5.2.0"
PULUMI = """
echo "$*" >> "$PULUMI_HOME/calls"
case "$*" in *--file*) ;; *) [ -n "$OPEN" ] || { echo "error: 404 not found" >&2; exit 1; } ;; esac
mkdir -p "$PULUMI_HOME/plugins/resource-docker-v5.2.0"
touch "$PULUMI_HOME/plugins/resource-docker-v5.2.0/pulumi-resource-docker"
"""


@dataclass(frozen=True, kw_only=True)
class Network(Official):
    """The official sources, of which one host answers or does not."""

    reachable: bool

    def require(self, host: str) -> None:
        if not self.reachable:
            message = f"{host}: no answer"
            raise UnreachableError(message)


@pytest.fixture
def stand_in(paths: Paths) -> Path:
    folder = paths.repository / "tools" / "plugins" / "docker"
    folder.mkdir(parents=True)
    (folder / "pulumi-resource-docker").write_text("#!/bin/sh\n")
    return folder


@pytest.fixture
def plugin(
    paths: Paths, printed: list[str], programs: Callable[..., Path]
) -> Callable[..., DockerPlugin]:
    programs("pulumi", PULUMI)
    paths.pulumi_home.mkdir(parents=True)
    sdk = paths.environment / "lib" / "python3.11" / "site-packages" / "pulumi_docker"
    sdk.mkdir(parents=True)
    (sdk / "pulumi-plugin.json").write_text(json.dumps({"name": "docker", "version": VERSION}))

    def make(
        *, reachable: bool = False, days_later: float = 0, retry: bool = False
    ) -> DockerPlugin:
        def now() -> float:
            return time.time() + days_later * 86_400

        network = Network(cache=paths.cache, reachable=reachable, retry=retry, now=now)
        return DockerPlugin(paths=paths, official=network, say=printed.append)

    return make


def calls(paths: Paths) -> list[str]:
    return (paths.pulumi_home / "calls").read_text().splitlines()


def test_a_closed_network_gets_the_stand_in(
    plugin: Callable[..., DockerPlugin], stand_in: Path, paths: Paths, printed: list[str]
) -> None:
    step = plugin()
    assert step.check() is None
    step.install()
    assert step.check() == f"{VERSION} (stand-in)"
    assert calls(paths) == [
        f"plugin install resource docker {VERSION} --file {stand_in} --reinstall"
    ]
    assert "get.pulumi.com: no answer" in printed[0]


def test_a_changed_stand_in_is_installed_again(
    plugin: Callable[..., DockerPlugin], stand_in: Path
) -> None:
    plugin().install()
    (stand_in / "pulumi-resource-docker").write_text("#!/bin/sh\n# changed\n")
    assert plugin().check() is None
    plugin().install()
    assert plugin().check() is not None


def test_the_official_one_is_taken_if_it_is_available(
    plugin: Callable[..., DockerPlugin], paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPEN", "yes")
    plugin(reachable=True).install()
    assert plugin(reachable=True).check() == VERSION
    assert calls(paths) == [f"plugin install resource docker {VERSION} --reinstall"]


def test_a_stand_in_recorded_as_official_is_replaced(
    plugin: Callable[..., DockerPlugin], paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pulumi keeps a plugin of the same version, and reports that it has installed it."""
    monkeypatch.setenv("OPEN", "yes")
    plugin(reachable=True).install()
    program = paths.pulumi_home / "plugins" / f"resource-docker-v{VERSION}" / PROGRAM
    program.write_text("#!/bin/sh\n")
    assert plugin(reachable=True).check() is None


@pytest.mark.usefixtures("stand_in")
def test_a_stand_in_gives_way_when_the_official_one_can_be_had(
    plugin: Callable[..., DockerPlugin], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried once a day, and whenever the user requests it."""
    plugin().install()
    assert plugin(days_later=0.9).check() == f"{VERSION} (stand-in)"
    assert plugin(days_later=1.1).check() is None
    assert plugin(retry=True).check() is None
    monkeypatch.setenv("OPEN", "yes")
    plugin(reachable=True).install()
    assert plugin().check() == VERSION


@pytest.mark.usefixtures("stand_in")
def test_a_stand_in_stays_while_the_official_one_cannot_be_had(
    plugin: Callable[..., DockerPlugin], paths: Paths, printed: list[str]
) -> None:
    """Set-up continues, and installs nothing again; also when the plugin alone is missing there."""
    plugin().install()
    for reachable in (False, True):
        step = plugin(reachable=reachable, retry=True)
        assert step.check() is None
        step.install()
        assert step.check() == f"{VERSION} (stand-in)"
        assert printed[-1].endswith("so the stand-in stays")
    assert [call for call in calls(paths) if "--file" in call] == calls(paths)[:1]


@pytest.mark.usefixtures("stand_in")
def test_a_download_that_fails_also_gets_the_stand_in(
    plugin: Callable[..., DockerPlugin], paths: Paths, printed: list[str]
) -> None:
    plugin(reachable=True).install()
    assert len(calls(paths)) == 2
    assert "error: 404 not found" in printed[-1]
    assert plugin().check() == f"{VERSION} (stand-in)"


@pytest.mark.usefixtures("stand_in")
def test_a_new_sdk_requires_its_own_version(
    plugin: Callable[..., DockerPlugin], paths: Paths
) -> None:
    plugin().install()
    file = next(paths.environment.rglob("pulumi-plugin.json"))
    file.write_text(json.dumps({"name": "docker", "version": "6.0.0"}))
    assert plugin().check() is None


def test_a_clone_without_the_stand_in_is_reported(plugin: Callable[..., DockerPlugin]) -> None:
    with pytest.raises(SetupError, match="this clone is incomplete"):
        plugin().install()
