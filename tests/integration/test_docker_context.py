"""The engine is the one that the docker command uses: that of the context in use."""

# pyright: reportMissingImports=false

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from docker_stand_in.cancellation import Cancellation
from docker_stand_in.connection import connect
from docker_stand_in.errors import EngineError

from infra.images import engine as operators_engine
from infra.machines.local import engine as local_engine

pytestmark = pytest.mark.integration
SYSTEM_SOCKET = "/var/run/docker.sock"


@pytest.fixture(autouse=True)
def contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make two with the docker command: ``alive``, which is in use, and ``dead``."""
    (tmp_path / "alive.sock").symlink_to(SYSTEM_SOCKET)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("dead", "alive"):
        endpoint = f"host=unix://{tmp_path / name}.sock"
        for command in (["create", name, "--docker", endpoint], ["use", name]):
            subprocess.run(["docker", "context", *command], check=True, capture_output=True)


def plugin_reaches_an_engine() -> bool:
    try:
        connect(None, Cancellation()).close()
    except EngineError:
        return False
    return True


def program_reaches_an_engine() -> bool:
    try:
        local_engine.read_network("dairflow-test-no-such-network")
    except operators_engine.EngineError:
        return False
    return True


@pytest.mark.parametrize("reaches", [plugin_reaches_an_engine, program_reaches_an_engine])
def test_the_context_in_use_counts_unless_the_environment_names_another(
    reaches: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reaches()
    subprocess.run(["docker", "context", "use", "dead"], check=True, capture_output=True)
    assert not reaches()
    monkeypatch.setenv("DOCKER_CONTEXT", "alive")
    assert reaches()
    monkeypatch.setenv("DOCKER_CONTEXT", "dead")
    assert not reaches()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{SYSTEM_SOCKET}")
    assert reaches()
