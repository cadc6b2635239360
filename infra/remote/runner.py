"""What it means to run a command on a machine, whatever carries it there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from infra.errors import UserError

if TYPE_CHECKING:
    from infra.remote.machine import Machine

DEFAULT_COMMAND_TIMEOUT_SECONDS = 60.0
_SHOWN_LINES = 8
_SHOWN_COMMAND_CHARACTERS = 160


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A command that ended."""

    stdout: str
    stderr: str
    exit_status: int

    @property
    def failed(self) -> bool:
        """Whether it ended with another status than 0."""
        return self.exit_status != 0


class RemoteError(UserError):
    """Something on a machine could not be done.

    Its text says on which machine, what was tried, what came back and what to do next. It never
    holds what was sent on standard input, nor standard output: secrets travel there.
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
        """``answer`` is what came back, ``next_step`` what the user can do about it."""
        self.machine = machine
        self.tried = tried
        self.answer = answer
        self.next_step = next_step
        self.exit_status = exit_status
        parts = [f"{machine}: {tried}: {answer.strip() or 'no message came back'}"]
        if next_step:
            parts.append(f"Next: {next_step}")
        super().__init__("\n".join(parts))

    @classmethod
    def of_command(cls, machine: Machine, command: str, completed: Completed) -> RemoteError:
        """Make the error of a command that ended with another status than 0."""
        last_lines = completed.stderr.strip().splitlines()[-_SHOWN_LINES:]
        said = "\n  ".join(last_lines) or "it wrote nothing to standard error"
        return cls(
            machine=machine,
            tried=shown_command(command),
            answer=f"exit status {completed.exit_status}: {said}",
            exit_status=completed.exit_status,
        )


def shown_command(command: str) -> str:
    """Shorten a command to the one line that a message has room for.

    A script that begins with a comment is called by that.
    """
    lines = command.strip().splitlines() or [""]
    first = lines[0][:_SHOWN_COMMAND_CHARACTERS]
    if first.startswith("# "):
        return first.removeprefix("# ")
    return f"`{first}`" if first == command.strip() else f"`{first} …`"


class Runner(Protocol):
    """Runs commands on one machine, as root (by ``sudo -n`` where the user is another)."""

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
        """Run a command of POSIX shell and wait for its end, at most ``timeout`` seconds.

        A secret goes in by ``stdin``, never in the command: commands are shown in errors, and
        to every user of the machine.

        Raises:
            RemoteError: it ended with another status than 0 (only with ``check``), did not end
                in time, or the connection was lost.

        """
        ...

    def write_file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Write a file whole or not at all, owned by root, making its folder if need be.

        Raises:
            RemoteError: the file could not be written.

        """
        ...


class RunnerPool(Protocol):
    """Gives a runner for a machine; calls for different machines may run side by side."""

    def runner(self, machine: Machine, *, timeout: float | None = None) -> Runner:
        """Return a connected runner, waiting at most ``timeout`` seconds for the machine.

        Raises:
            RemoteError: the machine does not answer, shows another host key, or refuses the
                client's key.

        """
        ...
