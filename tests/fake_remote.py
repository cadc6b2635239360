"""Fake runner and pool for tests: scripted answers, and a record of the calls."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.remote.runner import Completed, RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.remote.machine import Machine

Answer = Completed | str | Exception


@dataclass(frozen=True, kw_only=True)
class Call:
    """A recorded command."""

    machine: str
    command: str
    stdin: bytes | None = field(repr=False)


class FakeRunner:
    """Answers commands by the first rule whose text the command contains.

    A rule's answers are returned in turn, the last one repeatedly; an exception is raised, a plain
    string is standard output. A command without a matching rule fails the test.
    """

    def __init__(self, machine: Machine) -> None:
        """Start with no rules; see `on`."""
        self._machine = machine
        self._rules: list[tuple[str, list[Answer]]] = []
        self._lock = threading.Lock()
        self.calls: list[Call] = []
        self.files: dict[str, bytes] = {}
        self.modes: dict[str, int] = {}

    @property
    def machine(self) -> Machine:
        """The machine that commands would run on."""
        return self._machine

    @property
    def commands(self) -> list[str]:
        """The recorded commands, in order."""
        return [call.command for call in self.calls]

    def on(self, text: str, *answers: Answer) -> FakeRunner:
        """Answer commands that contain ``text``; a later rule overrides an earlier one."""
        self._rules.insert(0, (text, list(answers) or [""]))
        return self

    def run(
        self,
        command: str,
        *,
        stdin: bytes | None = None,
        timeout: float = 60,  # noqa: ARG002 - part of the protocol
        check: bool = True,
    ) -> Completed:
        """Answer from the script; see `infra.remote.runner.Runner.run`.

        Raises:
            AssertionError: if no rule matches the command.

        """
        with self._lock:
            self.calls.append(Call(machine=self._machine.name, command=command, stdin=stdin))
            answer = self._answer(command)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            answer = Completed(stdout=answer, stderr="", exit_status=0)
        if check and answer.exit_status != 0:
            raise RemoteError.of_command(self._machine, command, answer)
        return answer

    def write_file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Record the file; see `files` and `modes`."""
        with self._lock:
            self.files[path] = content
            self.modes[path] = mode

    def _answer(self, command: str) -> Answer:
        for text, answers in self._rules:
            if text in command:
                return answers.pop(0) if len(answers) > 1 else answers[0]
        message = f"{self._machine.name}: no answer was scripted for {command!r}"
        raise AssertionError(message)


class FakePool:
    """Pool of fake runners; raises an error for machines in `silent`."""

    def __init__(self, make: Callable[[Machine], FakeRunner] = FakeRunner) -> None:
        """``make`` creates a machine's runner at its first use."""
        self._make = make
        self._lock = threading.Lock()
        self.runners: dict[str, FakeRunner] = {}
        self.silent: set[str] = set()
        """Names of machines that do not answer."""

    def runner(self, machine: Machine, *, timeout: float | None = None) -> FakeRunner:
        """Return the machine's runner; see `infra.remote.runner.RunnerPool.runner`."""
        if machine.name in self.silent:
            raise RemoteError(
                machine=machine, tried=f"waited {timeout or 0:g} s for SSH", answer="no answer"
            )
        with self._lock:
            if machine.name not in self.runners:
                self.runners[machine.name] = self._make(machine)
            return self.runners[machine.name]
