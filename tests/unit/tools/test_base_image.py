from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools import image_names
from tools.base_image import (
    MAX_AGE,
    OFFICIAL_ROOTFS,
    OWN_ROOTFS,
    REPOSITORY,
    RETRY_AFTER,
    BaseImage,
    Mirrors,
    bootstrap_command,
    host_mirrors,
)
from tools.errors import SetupError
from tools.paths import Paths

if TYPE_CHECKING:
    from tests.unit.tools.conftest import FakeApt

MakeProgram = Callable[..., Path]
DOCKER = """
echo "$*" >> {calls}
case "$1 $2" in
    "pull "*) {pull} ;;
    "image ls") cat {built} 2> /dev/null ;;
esac
"""
BUILD = """#!/bin/sh
echo "build $*" >> {calls}
{build}
while [ "$1" != --tag ]; do shift; done
echo "${{2##*:}}" >> {built}
"""
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return tmp_path / "calls"


@pytest.fixture
def image(paths: Paths, apt: "FakeApt", printed: list[str]) -> BaseImage:
    recipe = paths.repository / "tools" / "base"
    recipe.mkdir(parents=True)
    (recipe / "Dockerfile").write_text("FROM scratch\n")
    return BaseImage(paths=paths, apt=apt, bundle=None, say=printed.append, now=NOW)


def docker(
    image: BaseImage, programs: MakeProgram, calls: Path, pull: str = "exit 0", build: str = ""
) -> None:
    """Make the two programs that an image is made with: docker, and the project's builder."""
    built = calls.with_name("built")
    programs("docker", DOCKER.format(calls=calls, pull=pull, built=built))
    image.paths.python.parent.mkdir(parents=True, exist_ok=True)
    image.paths.python.write_text(BUILD.format(calls=calls, built=built, build=build))
    image.paths.python.chmod(0o755)


def test_the_official_image_is_taken_if_it_can_be_pulled(
    image: BaseImage, programs: MakeProgram, calls: Path
) -> None:
    docker(image, programs, calls)
    assert image.check() is None
    image.install()
    name = f"{REPOSITORY}:{image.recipe()}-20261127120000"
    assert image.check() == name
    assert image_names.recorded(image.paths)["base"] == name
    lines = calls.read_text().splitlines()
    assert f"pull {OFFICIAL_ROOTFS}" in lines
    assert any(f"--build-arg ROOTFS={OFFICIAL_ROOTFS}" in line for line in lines)
    assert f"tag {name} dairflow/base:trixie" in lines


def test_a_closed_network_makes_it_with_mmdebstrap(
    image: BaseImage, programs: MakeProgram, calls: Path, printed: list[str]
) -> None:
    docker(image, programs, calls, "echo 'lookup registry: no such host' >&2; exit 1")
    programs("mmdebstrap", f'echo "mmdebstrap $*" >> {calls}')
    image.install()
    assert image.check() is not None
    lines = calls.read_text().splitlines()
    assert any(line.startswith("mmdebstrap --mode=root --variant=minbase") for line in lines)
    assert any(line.startswith("import") and line.endswith(OWN_ROOTFS) for line in lines)
    assert any(f"--build-arg ROOTFS={OWN_ROOTFS}" in line for line in lines)
    assert "lookup registry: no such host" in printed[1]


def test_a_registry_that_never_answers_is_given_up(
    image: BaseImage,
    programs: MakeProgram,
    calls: Path,
    printed: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tools.base_image.ANSWER_TIMEOUT_SECONDS", 0.5)
    docker(image, programs, calls, "exec sleep 30")
    programs("mmdebstrap", "exit 0")
    image.install()
    assert "no answer in 0.5 s" in printed[1]


def test_a_changed_recipe_makes_a_new_image(
    image: BaseImage, paths: Paths, programs: MakeProgram, calls: Path
) -> None:
    docker(image, programs, calls)
    image.install()
    (paths.repository / "tools" / "base" / "Dockerfile").write_text("FROM scratch\nRUN true\n")
    assert image.check() is None


def test_another_clone_takes_the_same_image(
    image: BaseImage, programs: MakeProgram, calls: Path, tmp_path: Path
) -> None:
    docker(image, programs, calls)
    image.install()
    other = replace(image, paths=replace(image.paths, repository=tmp_path / "other"))
    recipe = other.paths.repository / "tools" / "base"
    recipe.mkdir(parents=True)
    (recipe / "Dockerfile").write_text("FROM scratch\n")
    assert other.check() is None
    other.install()
    assert other.check() == image.check()
    assert sum(line.startswith("build ") for line in calls.read_text().splitlines()) == 1


def test_an_old_image_is_renewed_and_gets_another_name(
    image: BaseImage, programs: MakeProgram, calls: Path, printed: list[str]
) -> None:
    docker(image, programs, calls)
    image.install()
    old = image.check()
    later = replace(image, now=NOW + MAX_AGE - timedelta(seconds=1))
    assert later.check() == old
    later = replace(image, now=NOW + MAX_AGE)
    assert later.check() is None
    later.install()
    assert later.check() not in (None, old)
    assert any("renews that of 2026-11-27" in line for line in printed)
    assert "--build-arg MADE=20261227120000" in calls.read_text()


def test_without_a_network_an_old_image_stays_in_use_for_a_day(
    image: BaseImage, programs: MakeProgram, calls: Path, printed: list[str]
) -> None:
    docker(image, programs, calls)
    image.install()
    old = image.check()
    docker(image, programs, calls, build="echo no route to host; exit 1")
    later = replace(image, now=NOW + MAX_AGE)
    assert later.check() is None
    later.install()
    assert later.check() == old
    assert "that of 2026-11-27 stays in use" in printed[-1]
    assert "no route to host" in printed[-1]
    assert replace(later, now=later.now + RETRY_AFTER / 2).check() == old
    assert replace(later, now=later.now + RETRY_AFTER).check() is None


def test_a_refresh_renews_whatever_the_age_and_fails_if_it_cannot(
    image: BaseImage, programs: MakeProgram, calls: Path
) -> None:
    docker(image, programs, calls)
    image.install()
    again = replace(image, renew=True, now=NOW + timedelta(seconds=1))
    assert again.check() is None
    again.install()
    assert again.check() == f"{REPOSITORY}:{image.recipe()}-20261127120001"
    docker(image, programs, calls, build="exit 1")
    with pytest.raises(SetupError):
        replace(image, renew=True, now=NOW + timedelta(seconds=2)).install()


def test_a_proxys_certificate_goes_in_and_is_announced(
    image: BaseImage, programs: MakeProgram, calls: Path, printed: list[str], tmp_path: Path
) -> None:
    body = "\n".join(["QUJD" * 16] * 3)
    bundle = tmp_path / "proxy.pem"
    bundle.write_text(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    with_proxy = replace(image, bundle=(bundle, "CA_BUNDLE"))
    assert with_proxy.recipe() != image.recipe()
    docker(with_proxy, programs, calls)
    with_proxy.install()
    assert f"1 certificate(s) of {bundle}" in printed[-1]
    assert "CA_BUNDLE" in printed[-1]


def test_an_image_that_was_not_made_here_does_not_count(
    image: BaseImage, programs: MakeProgram
) -> None:
    programs("docker", "echo trixie; echo somebody-elses")
    assert image.check() is None


def test_mirrors_are_the_hosts_own(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(
        "# URIs: http://commented.example/debian\n"
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n\n"
        "Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\n"
    )
    mirrors = host_mirrors(tmp_path)
    assert mirrors == Mirrors(
        archive="http://mirror.example/debian", security="http://mirror.example/debian-security"
    )
    command = bootstrap_command(Path("/tmp/rootfs.tar"), mirrors)  # noqa: S108
    assert command[-3:] == [
        "deb http://mirror.example/debian trixie main",
        "deb http://mirror.example/debian trixie-updates main",
        "deb http://mirror.example/debian-security trixie-security main",
    ]


def test_old_style_sources_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(
        "deb [signed-by=/usr/share/keyrings/x.gpg] https://one.example/debian/ bookworm main\n"
        "deb https://one.example/debian-security bookworm-security main\n"
    )
    mirrors = host_mirrors(tmp_path)
    assert mirrors is not None
    assert mirrors.archive == "https://one.example/debian/"


def test_on_ubuntu_mmdebstrap_takes_debians_own_mirror(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://archive.ubuntu.example/ubuntu noble main\n")
    assert host_mirrors(tmp_path) is None
    assert bootstrap_command(Path("rootfs.tar"), None)[-2:] == ["trixie", "rootfs.tar"]
