import hashlib
import io
import subprocess
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools import versions
from tools.compose import Compose
from tools.host import Host
from tools.official import Official
from tools.paths import Paths

if TYPE_CHECKING:
    from tests.unit.tools.conftest import FakeApt

MakeProgram = Callable[..., Path]


class Network:
    """The official release, or none."""

    def __init__(self, program: bytes | None, digest: str = "") -> None:
        self.program, self.digest = program, digest

    def __call__(self, request: object, **_: object) -> io.BytesIO:
        if self.program is None:
            message = "no answer"
            raise urllib.error.URLError(message)
        return io.BytesIO(
            self.digest.encode() if str(request).endswith(".sha256") else self.program
        )


class FakeGo:
    program = Path("/usr/local/go/bin/go")
    builds = 0

    def find(self) -> "FakeGo":
        return self

    def build(self, *, output: Path, **_: object) -> None:
        self.builds += 1
        output.write_text('#!/bin/sh\necho "standalone:$*"\n')
        output.chmod(0o755)


@pytest.fixture
def go() -> FakeGo:
    return FakeGo()


@pytest.fixture
def compose(
    paths: Paths, host: Host, apt: "FakeApt", go: FakeGo, printed: list[str]
) -> Callable[[Network], Compose]:
    module = paths.repository / "tools" / "go_modules" / "compose"
    module.mkdir(parents=True)
    for file in ("go.mod", "go.sum", "tools.go"):
        (module / file).write_text(file)

    def make(network: Network) -> Compose:
        return Compose(
            paths=paths,
            host=host,
            official=Official(cache=paths.cache, open_url=network),  # type: ignore[arg-type]
            apt=apt,
            go=go,
            say=printed.append,
        )

    return make


@pytest.mark.parametrize(("version", "usable"), [("2.24.0", True), ("5.0.1", True), ("2.3", False)])
def test_dockers_own_plugin_is_used_when_new_enough(
    compose: Callable[[Network], Compose], programs: MakeProgram, version: str, *, usable: bool
) -> None:
    programs("docker", f"echo {version}")
    assert (compose(Network(None)).check() is not None) is usable


def test_the_distributions_package_comes_before_a_build(
    compose: Callable[[Network], Compose], go: FakeGo, apt: "FakeApt", programs: MakeProgram
) -> None:
    programs("docker", "exit 1")
    apt.versions["docker-compose"] = "2.26.1-4"
    compose(Network(None)).install()
    assert (apt.installed, go.builds) == (["docker-compose"], 0)


def test_compose_v1_of_old_distributions_is_not_taken(
    compose: Callable[[Network], Compose], go: FakeGo, apt: "FakeApt", programs: MakeProgram
) -> None:
    programs("docker", "exit 1")
    apt.versions["docker-compose"] = "1.29.2-3"
    compose(Network(None)).install()
    assert (apt.installed, go.builds) == ([], 1)


def test_a_download_with_a_wrong_digest_is_not_used(
    compose: Callable[[Network], Compose], go: FakeGo, programs: MakeProgram
) -> None:
    programs("docker", "exit 1")
    compose(Network(b"tampered", "0" * 64)).install()
    assert go.builds == 1


def test_a_download_with_the_published_digest_is_used(
    compose: Callable[[Network], Compose], go: FakeGo, paths: Paths, programs: MakeProgram
) -> None:
    programs("docker", "exit 1")
    content = b"#!/bin/sh\n"
    digest = f"{hashlib.sha256(content).hexdigest()}  docker-compose-linux-x86_64\n"
    compose(Network(content, digest)).install()
    assert go.builds == 0
    assert (paths.programs / "docker-compose").read_bytes() == content
    assert versions.COMPOSE in (compose(Network(None)).check() or "")


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        (["compose", "up", "--detach"], "standalone:up --detach"),
        (["--context", "laptop", "compose", "ps"], "standalone:--context laptop ps"),
        (["-H", "tcp://one:2375", "compose", "ps"], "standalone:-H tcp://one:2375 ps"),
        (["compose"], "standalone:"),
        (["ps", "compose"], "docker:ps compose"),
        (["run", "-c", "compose"], "docker:run -c compose"),
        (["--version"], "docker:--version"),
        ([], "docker:"),
    ],
)
def test_docker_compose_works_without_a_plugin_folder(
    compose: Callable[[Network], Compose],
    paths: Paths,
    programs: MakeProgram,
    typed: list[str],
    answer: str,
) -> None:
    programs("docker", 'if [ "$1" = compose ]; then exit 1; fi; echo "docker:$*"')
    compose(Network(None)).install()
    done = subprocess.run(
        [paths.programs / "docker", *typed], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == answer


def test_arguments_with_spaces_stay_whole(
    compose: Callable[[Network], Compose], paths: Paths, programs: MakeProgram
) -> None:
    programs("docker", "exit 1")
    compose(Network(None)).install()
    (paths.programs / "docker-compose").resolve().write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    done = subprocess.run(
        [paths.programs / "docker", "compose", "run", "two words", "*"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "<run><two words><*>"
