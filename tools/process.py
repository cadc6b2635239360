"""Run programs with a deadline, and turn every failure into a message that can be acted on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from tools.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

LAST_LINES = 15
PROGRESS_INTERVAL_SECONDS = 30
END_TIMEOUT_SECONDS = 10
SUDO = "sudo"
TIMED_OUT = 124
"""The exit status of a program that did not answer in time, as timeout(1) has it."""
INTERRUPTED = 128 + signal.SIGINT
"""The exit status after a Ctrl-C, as in a shell."""


def probe(
    command: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Ask a program something; `timeout` in seconds.

    Never raises: a program that is missing or does not answer in time is exit status 127 or 124,
    as in a shell, with the reason in `stderr`.
    """
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            env=env,
            check=False,
        )
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))
    except subprocess.TimeoutExpired:
        reason = f"no answer in {timeout:g} s"
        return subprocess.CompletedProcess(command, TIMED_OUT, "", reason)


def run_in_terminal(command: Sequence[str]) -> int:
    """Run a program that has this terminal to itself; return its exit status.

    A terminal sends Ctrl-C to all its programs at once. What it means is the running program's
    affair, and so is how long that takes (`subprocess.run` kills after 0.25 s); once it has ended
    the status is INTERRUPTED, whatever it made of it.
    """
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        status = subprocess.Popen(command).wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return INTERRUPTED if pressed else status


def run_logged(
    command: Sequence[str],
    *,
    log: Path,
    timeout: float,
    say: Callable[[str], None],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run a long command with its output in `log`; `timeout` in seconds.

    Prints a line every half minute while it runs. Raises SetupError with the last lines of the
    log when the command fails, cannot be started or takes too long; it is then ended with all its
    children. A command of sudo's stays in this terminal's session, for which sudo remembers the
    password; it passes on what ends it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=command[0] != SUDO,
            )
        except OSError as error:
            raise SetupError(_failure(command, f"cannot be started: {error}", log)) from error
        try:
            while process.poll() is None:
                elapsed = time.monotonic() - started
                if elapsed > timeout:
                    reason = f"was not done after {timeout:g} s"
                    raise SetupError(_failure(command, reason, log))
                try:
                    process.wait(min(PROGRESS_INTERVAL_SECONDS, max(timeout - elapsed, 0.1)))
                except subprocess.TimeoutExpired:
                    say(f"  … still running after {time.monotonic() - started:.0f} s (log: {log})")
        finally:
            end(process, through_sudo=command[0] == SUDO)
    if process.returncode != 0:
        raise SetupError(_failure(command, f"ended with status {process.returncode}", log))


def last_lines(log: Path, count: int = LAST_LINES) -> str:
    """Return the last lines of a log, or say that there is none."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return f"(no log at {log})"
    return "\n".join(lines[-count:])


def _failure(command: Sequence[str], reason: str, log: Path) -> str:
    quoted = "\n".join(f"    {line}" for line in last_lines(log).splitlines())
    return f"`{' '.join(command)}` {reason}. Its last lines (all of them: {log}):\n{quoted}"


def end(process: subprocess.Popen[bytes], *, through_sudo: bool) -> None:
    """End a program with its session's first group, or a sudo, which passes it on."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        if through_sudo:  # it is root's, and only root can end it
            kill = [SUDO, "-n", "sh", "-c", f"kill -{number.value} {process.pid}"]
            probe(kill, timeout=END_TIMEOUT_SECONDS)
        else:
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_TIMEOUT_SECONDS)
