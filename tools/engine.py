"""The Docker engine: found answering, or started."""

from __future__ import annotations

import getpass
import grp
import os
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.errors import SetupError
from tools.packages import find_program
from tools.process import TIMED_OUT, end, last_lines, probe
from tools.root import as_root

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.host import Host
    from tools.paths import Paths

ANSWER_TIMEOUT_SECONDS = 15
START_TIMEOUT_SECONDS = 300
"""Also how long an engine may be silent that takes connections: it is there, and busy."""
POLL_INTERVAL_SECONDS = 0.3


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What `docker version` says of the engine."""

    version: str | None
    """None when no engine answers this user."""
    reason: str
    """Why not, in Docker's own words."""
    busy: bool = False
    """Whether an engine takes the connection, and does not answer in time."""

    @property
    def exists(self) -> bool:
        """Whether there is an engine that this user may use."""
        return self.version is not None or self.busy

    @property
    def forbidden(self) -> bool:
        """Whether there is an engine, but not for this user."""
        return self.version is None and "permission denied" in self.reason.lower()


def ask_engine() -> Answer:
    """Ask the engine that Docker's own settings name for its version."""
    answer = probe(
        ["docker", "version", "--format", "{{.Server.Version}}"], timeout=ANSWER_TIMEOUT_SECONDS
    )
    version = answer.stdout.strip()
    if answer.returncode == 0 and version:
        return Answer(version=version, reason="")
    return Answer(
        version=None,
        reason=answer.stderr.strip() or "no answer",
        busy=answer.returncode == TIMED_OUT,
    )


@dataclass(frozen=True, kw_only=True)
class DockerEngine:
    """An engine that answers this user."""

    paths: Paths
    host: Host
    say: Callable[[str], None]
    ask: Callable[[], Answer] = ask_engine
    name: str = "Docker engine"

    def check(self) -> str | None:
        """Return the engine's version; raises SetupError when it is there but not for this user."""
        answer = self.ask()
        if answer.busy:
            self.say(f"• {self.name}: it is busy; waits for its answer")
            answer = self._answer_of_busy()
        if answer.forbidden:
            raise SetupError(forbidden_advice(_user(), _groups_of(_user())))
        return answer.version

    def _answer_of_busy(self) -> Answer:
        """Wait: a second engine beside the one that is there would take its data from it."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while (answer := self.ask()).busy:
            if time.monotonic() > deadline:
                message = (
                    f"A Docker engine takes connections, and did not answer for"
                    f" {START_TIMEOUT_SECONDS} s.\nLook at its log, restart it, then try again."
                )
                raise SetupError(message)
        return answer

    def install(self) -> None:
        """Start the engine and wait until it answers."""
        if named := os.environ.get("DOCKER_HOST"):
            message = (
                f"DOCKER_HOST names {named}, and no engine answers there: {self.ask().reason}\n"
                "Start that engine, or unset DOCKER_HOST to use one on this machine."
            )
            raise SetupError(message)
        on_macos = self.host.system == "Darwin"
        if on_macos or not (self.host.can_install or self.host.is_root):
            start = "Start Docker Desktop (`open -a Docker`)" if on_macos else "Start Docker"
            message = f"No Docker engine answers: {self.ask().reason}\n{start}, then try again."
            raise SetupError(message)
        if self.host.has_systemd:
            self._start_by_systemd()
        else:
            self._start_dockerd()

    def _start_by_systemd(self) -> None:
        self.say(f"• {self.name}: starts it (systemctl start docker)")
        command = as_root(
            *("systemctl", "start", "docker"), host=self.host, say=self.say, why=self.name
        )
        answer = probe(command, timeout=START_TIMEOUT_SECONDS)
        if answer.returncode != 0:
            output = answer.stderr.strip()
            message = f"`{' '.join(command)}` failed: {output}\nLook at: journalctl -u docker -n 50"
            raise SetupError(message)
        self._wait(None)

    def _start_dockerd(self) -> None:
        """Start dockerd in its own session: it outlives this program and its terminal.

        sudo itself is in this one, which has its user's ticket, and ends before it, so that it
        does not hold the terminal.
        """
        dockerd = find_program("dockerd")
        if dockerd is None:
            get = (
                "Type: apt-get install docker.io" if self.host.has_apt else "Install Docker Engine."
            )
            message = f"There is a `docker` command, but no `dockerd`. {get}"
            raise SetupError(message)
        in_own_session = () if self.host.is_root else ("setsid", "--fork", "--wait")
        command = as_root(
            *(*in_own_session, dockerd),
            host=self.host,
            say=self.say,
            why=self.name,
            by_hand="service docker start",
        )
        log = self.paths.state / "dockerd.log"
        self.paths.state.mkdir(parents=True, exist_ok=True)
        self.say(
            f"• {self.name}: there is no init system, so dockerd is started here and stays running "
            f"(log: {log}; it is stopped by `sudo kill $(cat /var/run/docker.pid)`)"
        )
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=self.host.is_root,
                cwd="/",
            )
        self._wait(process)
        if not self.host.is_root:
            end(process, through_sudo=True)

    def _wait(self, process: subprocess.Popen[bytes] | None) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while True:
            answer = self.ask()
            if answer.version or answer.forbidden:
                return
            if process is not None and process.poll() is not None:
                self._fail(f"dockerd ended with status {process.returncode}")
            if time.monotonic() > deadline:
                self._fail(f"no answer in {START_TIMEOUT_SECONDS} s: {answer.reason}")
            time.sleep(POLL_INTERVAL_SECONDS)

    def _fail(self, reason: str) -> None:
        log = self.paths.state / "dockerd.log"
        log_text = last_lines(log) if not self.host.has_systemd else "(journalctl -u docker -n 50)"
        quoted = "\n".join(f"    {line}" for line in log_text.splitlines())
        message = f"The Docker engine does not start: {reason}. Its log:\n{quoted}"
        if "cgroup" in log_text.lower():
            message += "\nNo cgroups are mounted: apt-get install cgroupfs-mount && cgroupfs-mount"
        raise SetupError(message)


def forbidden_advice(user: str, groups: set[str]) -> str:
    """Return the command for a user without access to the engine."""
    if "docker" in groups:
        return (
            "A Docker engine runs, and this session is older than your membership of the group "
            "`docker`. Type `newgrp docker`, then the same command again."
        )
    return (
        "A Docker engine runs, but you may not use it. Members of the group `docker` may (which "
        "is as good as being root). To become one, type:\n"
        f"    sudo usermod -aG docker {user} && newgrp docker\n"
        "and then the same command again."
    )


def _user() -> str:
    return getpass.getuser()


def _groups_of(user: str) -> set[str]:
    return {group.gr_name for group in grp.getgrall() if user in group.gr_mem}
