import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.base_image import (
    IMAGE,
    LABEL,
    OFFICIAL_ROOTFS,
    OWN_ROOTFS,
    BaseImage,
    Mirrors,
    bootstrap_command,
    host_mirrors,
)
from tools.paths import Paths

if TYPE_CHECKING:
    from tests.unit.tools.conftest import FakeApt

MakeProgram = Callable[..., Path]
DOCKER = """
echo "$*" >> {calls}
case "$1" in
    pull) {pull} ;;
    build) echo "$*" | sed 's/.*--label {label}=\\([0-9a-f]*\\).*/\\1/' > {built} ;;
    image) if [ "$2" = inspect ]; then
        [ -e {built} ] || exit 1
        echo "{{\\"{label}\\": \\"$(cat {built})\\"}}"
    fi ;;
esac
"""


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return tmp_path / "calls"


@pytest.fixture
def image(paths: Paths, apt: "FakeApt", said: list[str]) -> BaseImage:
    recipe = paths.repository / "tools" / "base"
    recipe.mkdir(parents=True)
    (recipe / "Dockerfile").write_text("FROM scratch\n")
    return BaseImage(paths=paths, apt=apt, bundle=None, say=said.append)


def docker(programs: MakeProgram, calls: Path, pull: str) -> None:
    script = DOCKER.format(calls=calls, pull=pull, label=LABEL, built=calls.with_name("built"))
    programs("docker", script)


def test_the_official_image_is_taken_where_it_can_be_pulled(
    image: BaseImage, programs: MakeProgram, calls: Path
) -> None:
    docker(programs, calls, "exit 0")
    assert image.check() is None
    image.install()
    assert image.check() == IMAGE
    lines = calls.read_text().splitlines()
    assert f"pull {OFFICIAL_ROOTFS}" in lines
    assert any(f"--build-arg ROOTFS={OFFICIAL_ROOTFS}" in line for line in lines)


def test_a_closed_network_makes_it_with_mmdebstrap(
    image: BaseImage, programs: MakeProgram, calls: Path, said: list[str]
) -> None:
    docker(programs, calls, "echo 'lookup registry: no such host' >&2; exit 1")
    programs("mmdebstrap", f'echo "mmdebstrap $*" >> {calls}')
    image.install()
    assert image.check() == IMAGE
    lines = calls.read_text().splitlines()
    assert any(line.startswith("mmdebstrap --mode=root --variant=minbase") for line in lines)
    assert any(line.startswith("import") and line.endswith(OWN_ROOTFS) for line in lines)
    assert any(f"--build-arg ROOTFS={OWN_ROOTFS}" in line for line in lines)
    assert "lookup registry: no such host" in said[1]


def test_a_registry_that_never_answers_is_given_up(
    image: BaseImage,
    programs: MakeProgram,
    calls: Path,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tools.base_image.ANSWER_TIMEOUT_SECONDS", 0.5)
    docker(programs, calls, "exec sleep 30")
    programs("mmdebstrap", "exit 0")
    image.install()
    assert "no answer in 0.5 s" in said[1]


def test_a_changed_recipe_makes_a_new_image(
    image: BaseImage, paths: Paths, programs: MakeProgram, calls: Path
) -> None:
    docker(programs, calls, "exit 0")
    image.install()
    (paths.repository / "tools" / "base" / "Dockerfile").write_text("FROM scratch\nRUN true\n")
    assert image.check() is None


def test_a_proxys_certificate_goes_in_and_is_announced(
    image: BaseImage, programs: MakeProgram, calls: Path, said: list[str], tmp_path: Path
) -> None:
    body = "\n".join(["QUJD" * 16] * 3)
    bundle = tmp_path / "proxy.pem"
    bundle.write_text(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    with_proxy = replace(image, bundle=(bundle, "CA_BUNDLE"))
    assert with_proxy.recipe() != image.recipe()
    docker(programs, calls, "exit 0")
    with_proxy.install()
    assert f"1 certificate(s) of {bundle}" in said[-1]
    assert "CA_BUNDLE" in said[-1]


def test_an_image_that_was_not_made_here_is_replaced(
    image: BaseImage, programs: MakeProgram
) -> None:
    programs("docker", f"echo '{json.dumps(None)}'")
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
