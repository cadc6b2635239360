"""Set-up gets root for a user whose sudo requires a password, as on Ubuntu."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.images import project_images

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
NAME = f"dairflow-test-{os.getpid()}-sudo"
PASSWORD = "a good one"
PREPARE = f"""
apt-get update -qq && apt-get install -qq --no-install-recommends sudo python3
useradd --create-home --groups sudo alice
useradd --create-home bob
printf '%s\\n' 'alice:{PASSWORD}' 'bob:{PASSWORD}' | chpasswd
printf '#!/bin/sh\\nsleep 600\\n' > /usr/local/bin/dockerd
chmod 0755 /usr/local/bin/dockerd
"""
PROGRAM = """
import pathlib, sys, time
from tools.base_image import BaseImage
from tools.engine import Answer, DockerEngine
from tools.errors import SetupError
from tools.host import detect
from tools.packages import Apt
from tools.paths import Paths

folder = pathlib.Path.home()
paths = Paths(repository=folder, cache=folder)
host = detect()
def say(line):
    print(line, flush=True)
def ask():
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        if comm.read_text() == "dockerd\\n":
            return Answer(version="1", reason="")
    return Answer(version=None, reason="none")
try:
    Apt(host=host, logs=folder, say=say).install(["hello"], why="system packages")
    DockerEngine(paths=paths, host=host, say=say, ask=ask).install()
except SetupError as error:
    print(error)
"""
TERMINAL = f"""
import os, pty, sys
pid, screen = pty.fork()
if pid == 0:
    os.execvp("python3", ["python3", "-c", sys.argv[1]])
shown = b""
answered = 0
try:
    while part := os.read(screen, 4096):
        shown += part
        if shown.count(b"password for") > answered:
            answered += 1
            os.write(screen, b"{PASSWORD}\\n")
except OSError:  # nobody has the terminal open any more
    pass
sys.stdout.write(shown.decode().replace("\\r\\n", "\\n"))
"""


def docker(*arguments: str) -> str:
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def machine() -> Iterator[None]:
    """A Debian machine with the real sudo, alice who may be root, and bob who may not."""
    image = project_images.reference("base")
    docker("run", "--detach", "--init", "--name", NAME, "--label", NAME, image, "sleep", "900")
    try:
        docker("exec", NAME, "sh", "-euc", PREPARE)
        docker("cp", str(ROOT / "tools"), f"{NAME}:/opt/tools")
        yield
    finally:
        docker("rm", "--force", "--volumes", NAME)


def as_user(user: str, *command: str) -> str:
    options = ("--user", user, "--workdir", "/opt", "--env", f"HOME=/home/{user}")
    return docker("exec", *options, NAME, *command)


@pytest.mark.usefixtures("machine")
def test_without_a_terminal_one_message_has_the_commands() -> None:
    printed = as_user("alice", "setsid", "--wait", "python3", "-c", PROGRAM)
    assert "there is no terminal to type it in" in printed
    assert "\n    apt-get update && apt-get install hello\n" in printed
    assert "Traceback" not in printed


@pytest.mark.usefixtures("machine")
def test_a_user_who_may_not_be_root_gets_the_commands() -> None:
    printed = as_user("bob", "python3", "-c", TERMINAL, PROGRAM)
    assert "`sudo` does not permit it" in printed
    assert "\n    apt-get update && apt-get install hello\n" in printed
    assert "Traceback" not in printed


@pytest.mark.usefixtures("machine")
def test_the_password_is_asked_for_once_and_the_engine_outlives_the_terminal() -> None:
    printed = as_user("alice", "python3", "-c", TERMINAL, PROGRAM)
    assert printed.count("password for alice") == 1, printed
    why = "• system packages: this needs root, so sudo asks for your password"
    assert printed.index(why) < printed.index("password for alice")
    assert "Traceback" not in printed
    assert "hello" in docker("exec", NAME, "dpkg-query", "--show", "hello")
    assert "dockerd" in docker("exec", NAME, "sh", "-c", "cat /proc/[0-9]*/comm")
