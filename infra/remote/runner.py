"""Interface for running commands on machines, independent of the transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from infra.errors import UserError

if TYPE_CHECKING:
    from infra.remote.machine import Machine

DEFAULT_COMMAND_TIMEOUT_SECONDS = 60.0
UNREACHABLE_SECONDS = 20.0
"""How long a machine may take to answer before a run continues without it, or fails."""
_SHOWN_LINES = 8
_SHOWN_COMMAND_CHARACTERS = 160


@dataclass(frozen=True, kw_only=True)
class Completed:
    """Result of a command that has ended."""

    stdout: str
    stderr: str
    exit_status: int

    @property
    def failed(self) -> bool:
        """Whether its exit status is not 0."""
        return self.exit_status != 0


class RemoteError(UserError):
    """An operation on a machine failed.

    Its text has the machine, what was tried, the answer and the next step. It never contains
    standard input or standard output, which may have secrets.
    """

    def __init__(
        self,
        *,
        machine: Machine,
        tried: str,
        answer: str,
        next_step: str = "",
        exit_status: int | None = None,
    ) -> None:
        """``answer`` is the error that was returned, ``next_step`` what the user can do."""
        self.machine = machine
        self.tried = tried
        self.answer = answer
        self.next_step = next_step
        self.exit_status = exit_status
        parts = [f"{machine}: {tried}: {answer.strip() or 'no message was returned'}"]
        if next_step:
            parts.append(f"Next: {next_step}")
        super().__init__("\n".join(parts))

    @classmethod
    def of_command(cls, machine: Machine, command: str, completed: Completed) -> RemoteError:
        """Return the error of a command whose exit status is not 0."""
        last_lines = completed.stderr.strip().splitlines()[-_SHOWN_LINES:]
        error = "\n  ".join(last_lines) or "it wrote nothing to standard error"
        return cls(
            machine=machine,
            tried=shown_command(command),
            answer=f"exit status {completed.exit_status}: {error}",
            exit_status=completed.exit_status,
        )


class LoginRefusedError(RemoteError):
    """A machine answers, and does not accept the operator's key or password."""


def shown_command(command: str) -> str:
    """Shorten a command to one line for a message.

    A script that begins with a comment is named by the comment.
    """
    lines = command.strip().splitlines() or [""]
    first = lines[0][:_SHOWN_COMMAND_CHARACTERS]
    if first.startswith("# "):
        return first.removeprefix("# ")
    return f"`{first}`" if first == command.strip() else f"`{first} …`"


class Runner(Protocol):
    """Runs commands on one machine as root (with ``sudo -n`` for another user)."""

    @property
    def machine(self) -> Machine:
        """The machine that commands run on."""
        ...

    def run(
        self,
        command: str,
        *,
        stdin: bytes | None = None,
        timeout: float = DEFAULT_COMMAND_TIMEOUT_SECONDS,
        check: bool = True,
    ) -> Completed:
        """Run a POSIX shell command and wait for its end, for at most ``timeout`` seconds.

        Pass a secret by ``stdin``, never in the command: commands are shown in errors, and to every
        user of the machine.

        Raises:
            RemoteError: if its exit status is not 0 (only with ``check``), if it did not end in
                time, or if the connection was lost.

        """
        ...

    def write_file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Write a file atomically, owned by root, and create its folder if needed.

        Raises:
            RemoteError: if the file could not be written.

        """
        ...


class RunnerPool(Protocol):
    """Pool of runners; calls for different machines may run in parallel."""

    def runner(self, machine: Machine, *, timeout: float | None = None) -> Runner:
        """Return a connected runner, waiting at most ``timeout`` seconds for the machine.

        Raises:
            RemoteError: if the machine does not answer, has another host key, or rejects the
                client's key.

        """
        ...
