from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tools.engine import Answer, DockerEngine, ask_engine, forbidden_advice
from tools.errors import SetupError
from tools.host import Host
from tools.paths import Paths

MakeProgram = Callable[..., Path]
SILENT = Answer(version=None, reason="Cannot connect to the Docker daemon")
FORBIDDEN = Answer(version=None, reason="permission denied while trying to connect")


@pytest.fixture(autouse=True)
def _no_docker_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)


def engine(paths: Paths, host: Host, printed: list[str], ask: Callable[[], Answer]) -> DockerEngine:
    return DockerEngine(paths=paths, host=host, say=printed.append, ask=ask)


def test_an_engine_that_answers_is_left_alone(paths: Paths, host: Host, printed: list[str]) -> None:
    step = engine(paths, host, printed, lambda: Answer(version="29.1.0", reason=""))
    assert step.check() == "29.1.0"


BUSY = Answer(version=None, reason="no answer in 15 s", busy=True)


def test_a_busy_engine_is_waited_for_and_no_second_one_started(
    paths: Paths, host: Host, printed: list[str]
) -> None:
    answers = iter([BUSY, BUSY, Answer(version="29.1.0", reason="")])
    assert engine(paths, host, printed, lambda: next(answers)).check() == "29.1.0"
    assert "busy" in printed[0]


def test_an_engine_that_hangs_is_not_an_absent_one(
    paths: Paths, host: Host, printed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.engine.START_TIMEOUT_SECONDS", 0)
    with pytest.raises(SetupError, match="takes connections, and did not answer"):
        engine(paths, host, printed, lambda: BUSY).check()


def test_an_engine_that_takes_the_connection_and_is_silent_is_busy(
    monkeypatch: pytest.MonkeyPatch, programs: MakeProgram
) -> None:
    programs("docker", "exec sleep 30")
    monkeypatch.setattr("tools.engine.ANSWER_TIMEOUT_SECONDS", 0.2)
    answer = ask_engine()
    assert answer.busy
    assert answer.exists
    programs("docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    assert not ask_engine().exists


# The engine outlives set-up: its process is left running on purpose.
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_without_an_init_system_dockerd_is_started_and_awaited(
    paths: Paths, host: Host, printed: list[str], programs: MakeProgram, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    programs("dockerd", f"echo starting; touch {ready}; exec sleep 2")

    def ask() -> Answer:
        return Answer(version="20.10.24", reason="") if ready.exists() else SILENT

    step = engine(paths, host, printed, ask)
    step.install()
    assert step.check() == "20.10.24"
    assert str(paths.state / "dockerd.log") in printed[0]
    assert "stays running" in printed[0]


def test_a_dockerd_that_dies_shows_its_own_reason(
    paths: Paths, host: Host, printed: list[str], programs: MakeProgram
) -> None:
    programs("dockerd", "echo 'failed to start daemon: Devices cgroup is not mounted'; exit 1")
    with pytest.raises(SetupError) as caught:
        engine(paths, host, printed, lambda: SILENT).install()
    assert "dockerd ended with status 1" in str(caught.value)
    assert "    failed to start daemon: Devices cgroup is not mounted" in str(caught.value)
    assert "cgroupfs-mount" in str(caught.value)


def test_systemd_starts_it_if_present(
    paths: Paths, host: Host, printed: list[str], programs: MakeProgram, tmp_path: Path
) -> None:
    called = tmp_path / "called"
    programs("systemctl", f'echo "$*" > {called}')

    def ask() -> Answer:
        return Answer(version="29.1.0", reason="") if called.exists() else SILENT

    engine(paths, replace(host, has_systemd=True), printed, ask).install()
    assert called.read_text() == "start docker\n"


def test_an_engine_elsewhere_is_not_replaced_by_one_here(
    paths: Paths, host: Host, printed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:2375")
    with pytest.raises(SetupError, match="tcp://elsewhere:2375"):
        engine(paths, host, printed, lambda: SILENT).install()


@pytest.mark.parametrize("is_root", [True, False])
def test_on_macos_the_user_must_start_docker_desktop(
    paths: Paths, host: Host, printed: list[str], *, is_root: bool
) -> None:
    mac = replace(host, system="Darwin", distribution="", has_apt=False, is_root=is_root)
    with pytest.raises(SetupError) as caught:
        engine(paths, mac, printed, lambda: SILENT).install()
    assert "Start Docker Desktop" in str(caught.value)
    assert "apt-get" not in str(caught.value)


def test_elsewhere_no_apt_get_is_asked_for(
    paths: Paths,
    host: Host,
    printed: list[str],
    programs: MakeProgram,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert programs
    monkeypatch.setattr("tools.engine.find_program", lambda _: None)
    fedora = replace(host, distribution="fedora", has_apt=False)
    with pytest.raises(SetupError) as caught:
        engine(paths, fedora, printed, lambda: SILENT).install()
    assert "Install Docker Engine" in str(caught.value)
    assert "apt-get" not in str(caught.value)


def test_a_user_without_the_right_gets_the_command(
    paths: Paths, host: Host, printed: list[str]
) -> None:
    with pytest.raises(SetupError, match="newgrp docker"):
        engine(paths, host, printed, lambda: FORBIDDEN).check()


def test_advice_depends_on_membership() -> None:
    assert "sudo usermod -aG docker alice" in forbidden_advice("alice", set())
    assert "usermod" not in forbidden_advice("alice", {"docker"})
