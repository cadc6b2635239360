from dataclasses import replace
from pathlib import Path

import pytest

from tools.errors import SetupError
from tools.host import Host, parse_os_release
from tools.paths import Paths
from tools.platform_check import Platform

PLENTY = 100 * 1024**3


def platform(paths: Paths, host: Host, *present: str, free: int = PLENTY) -> Platform:
    def find(name: str) -> str | None:
        return f"/bin/{name}" if name in present else None

    def free_bytes(_: Path) -> int:
        return free

    return Platform(paths=paths, host=host, find=find, free_bytes=free_bytes)


def test_debian_with_root_needs_nothing_beforehand(paths: Paths, host: Host) -> None:
    assert platform(paths, host).check() == "debian amd64"


def test_sudo_does_instead_of_root(paths: Paths, host: Host) -> None:
    assert platform(paths, replace(host, is_root=False, has_sudo=True)).check()


def test_macos_prints_what_to_type_for_everything_missing_at_once(paths: Paths, host: Host) -> None:
    mac = replace(host, system="Darwin", distribution="", has_apt=False, is_root=False)
    with pytest.raises(SetupError) as caught:
        platform(paths, mac, "ssh").check()
    lines = str(caught.value).splitlines()
    assert "    brew install uv" in lines
    assert "    brew install pulumi/tap/pulumi" in lines
    assert any(line.startswith("    brew install --cask docker-desktop") for line in lines)
    assert "openssh" not in str(caught.value)


def test_macos_with_everything_there_goes_on(paths: Paths, host: Host) -> None:
    mac = replace(host, system="Darwin", distribution="", has_apt=False, is_root=False)
    assert platform(paths, mac, "docker", "uv", "pulumi", "ssh").check() == "Darwin amd64"


def test_debian_without_root_or_sudo_gets_the_way_to_either(paths: Paths, host: Host) -> None:
    with pytest.raises(SetupError) as caught:
        platform(paths, replace(host, is_root=False), "docker").check()
    assert "apt-get install sudo" in str(caught.value)
    assert "run `make up` as root" in str(caught.value)
    assert "    pulumi: " in str(caught.value)
    assert "    docker: " not in str(caught.value)


def test_a_distribution_without_apt_is_named(paths: Paths, host: Host) -> None:
    fedora = replace(host, distribution="fedora", has_apt=False)
    with pytest.raises(SetupError, match="this is fedora"):
        platform(paths, fedora).check()


def test_a_full_disk_and_missing_programs_are_reported_together(paths: Paths, host: Host) -> None:
    fedora = replace(host, distribution="fedora", has_apt=False)
    with pytest.raises(SetupError) as caught:
        platform(paths, fedora, free=3 * 1024**3).check()
    assert "12 GiB are needed" in str(caught.value)
    assert "3.0 GiB are free" in str(caught.value)
    assert "    docker: " in str(caught.value)


def test_once_set_up_less_space_does(paths: Paths, host: Host) -> None:
    paths.python.parent.mkdir(parents=True)
    paths.python.touch()
    assert platform(paths, host, free=3 * 1024**3).check()


def test_os_release_values_lose_their_quotes() -> None:
    text = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_CODENAME=trixie\n'
    parsed = parse_os_release(text)
    assert parsed["ID"] == "debian"
    assert parsed["PRETTY_NAME"] == "Debian GNU/Linux 13 (trixie)"
