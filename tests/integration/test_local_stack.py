"""`tools.local_stack` with the real Pulumi, in a terminal of its own."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tools.paths import Paths

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

PATHS = Paths.find()
CTRL_C = b"\x03"
PROGRAM = """
import pulumi
from provider import Slow
pulumi.export("made", Slow("one").made)
"""
PROVIDER = """
import pathlib
import time
from pulumi import Output
from pulumi.dynamic import CreateResult, Resource, ResourceProvider

class Maker(ResourceProvider):
    serialize_as_secret_always = False

    def create(self, props):
        while not pathlib.Path("finish").exists():
            time.sleep(0.1)
        return CreateResult("id", {"made": "yes"})

class Slow(Resource):
    made: Output[str]
    def __init__(self, name):
        super().__init__(Maker(), name, {"made": None})
"""


@dataclass
class Terminal:
    """A program in a terminal, as a user sees it."""

    pid: int
    screen: int
    shown: str = field(default="")

    def read(self) -> bool:
        """Take in what is shown next; False when the terminal was left by all."""
        try:
            part = os.read(self.screen, 4096)
        except OSError:  # Linux raises this if the other side is closed
            return False
        self.shown += part.decode(errors="replace").replace("\r\n", "\n")
        return bool(part)

    def press(self, keys: bytes) -> None:
        os.write(self.screen, keys)

    def wait_for(self, text: str) -> None:
        while text not in self.shown:
            assert self.read(), f"{text!r} was never shown:\n{self.shown}"

    def end(self) -> int:
        """Wait for the program's end; return its exit status."""
        ended, status = 0, 0
        while not ended:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            while select.select([self.screen], [], [], 0.1)[0] and self.read():
                pass
        os.close(self.screen)
        return os.waitstatus_to_exitcode(status)


@dataclass
class Project:
    folder: Path
    environment: dict[str, str]

    def run(self, action: str) -> Terminal:
        """Start what `make up` or `make down` starts."""
        pid, screen = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execve(  # noqa: S606 - the child of a fork
                sys.executable,
                [sys.executable, "-m", "tools.local_stack", action],
                {**self.environment, "PYTHONPATH": str(PATHS.repository), "TERM": "dumb"},
            )
        return Terminal(pid, screen)

    def finish_the_work(self) -> None:
        """Let the resource's provider come to its end."""
        (self.folder / "finish").touch()

    def locks(self) -> list[Path]:
        return [*(self.folder / ".dairflow" / "state" / ".pulumi" / "locks").rglob("*.json")]

    def resources(self) -> list[str]:
        file = next(self.folder.glob(".dairflow/state/.pulumi/stacks/**/local.json"))
        found = json.loads(file.read_text())["checkpoint"]["latest"].get("resources", [])
        return [one["urn"].rpartition("::")[2] for one in found]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "Pulumi.yaml").write_text("name: dairflow\nruntime: python\n")
    (tmp_path / "__main__.py").write_text(PROGRAM)
    (tmp_path / "provider.py").write_text(PROVIDER)
    state, home = tmp_path / ".dairflow" / "state", tmp_path / ".dairflow" / "pulumi"
    state.mkdir(parents=True)
    programs = f"{PATHS.environment}/bin:{PATHS.programs}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")},
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PULUMI_HOME": str(home),
        "PULUMI_CONFIG_PASSPHRASE": "a passphrase for tests",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_PYTHON_CMD": str(PATHS.python),
    }
    subprocess.run(["pulumi", "login", f"file://{state}"], env=environment, check=True)
    return Project(tmp_path, environment)


def test_ctrl_c_lets_pulumi_end_by_itself_and_prints_what_is_next(project: Project) -> None:
    up = project.run("up")
    up.wait_for("Resource one creating")
    up.press(CTRL_C)
    up.wait_for("press ^C again")
    time.sleep(1)  # as long as the work in flight takes: Python's own patience is 0.25 s
    project.finish_the_work()
    assert up.end() == 128 + signal.SIGINT
    assert "Traceback" not in up.shown
    assert "`make up` continues" in up.shown.splitlines()[-1]
    assert project.locks() == []
    assert "one" in project.resources(), "what Pulumi was making, it finished and wrote down"


def test_a_second_ctrl_c_is_pulumis_too(project: Project) -> None:
    up = project.run("up")
    up.wait_for("Resource one creating")
    up.press(CTRL_C)
    up.wait_for("press ^C again")
    up.press(CTRL_C)
    assert up.end() == 128 + signal.SIGINT
    assert "^C received; terminating" in up.shown
    assert "Traceback" not in up.shown
    assert "`make up` continues" in up.shown.splitlines()[-1]


def test_the_lock_stays_while_its_update_lives_and_goes_when_it_was_killed(
    project: Project,
) -> None:
    up = project.run("up")
    up.wait_for("Resource one creating")
    (lock,) = project.locks()
    down = project.run("down")
    assert down.end() != 0
    assert "the stack is currently locked" in down.shown
    assert "removes the stack's lock" not in down.shown
    assert project.locks() == [lock]

    pulumi = psutil.Process(json.loads(lock.read_text())["pid"])
    left = pulumi.children(recursive=True)
    pulumi.kill()
    assert up.end() != 0
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    project.finish_the_work()
    again = project.run("up")
    assert again.end() == 0, again.shown
    assert f"its update was killed (pulumi, process {pulumi.pid})" in again.shown.splitlines()[0]
    assert "one" in project.resources()
