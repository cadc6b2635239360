"""The checks of backups before and after a deployment, and their results."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from infra.remote.runner import Completed, RemoteError
from infra.stack import backup_check
from infra.stack.backups import BackupOptions
from infra.stack.errors import StackError
from infra.stack.render import RenderedStack, render
from tests.fake_remote import FakeRunner

if TYPE_CHECKING:
    from infra.remote.machine import Machine
    from infra.stack.options import StackOptions

Compose = dict[str, Any]
LOGIN = ("10.0.0.1:5000", "dairflow", "registry-password")
REFUSAL = "restoreFrom is latest, and this cluster has data. Nothing was changed.\nNext: …\n"


@pytest.fixture
def rendered(compose: Compose, options: StackOptions) -> RenderedStack:
    return render(compose, options)


def ended(status: int, *, stdout: str = "", stderr: str = "") -> Completed:
    return Completed(stdout=stdout, stderr=stderr, exit_status=status)


def test_a_check_is_due_when_something_about_the_backups_is_new(
    compose: Compose, options: StackOptions, rendered: RenderedStack
) -> None:
    def changed(**changes: Any) -> RenderedStack:
        return render(compose, replace(options, **changes))

    assert backup_check.is_due(rendered, None)
    assert not backup_check.is_due(rendered, rendered)
    assert not backup_check.is_due(changed(worker_nodes=9), rendered)
    assert backup_check.is_due(changed(backups=BackupOptions(retention_days=1)), rendered)
    passphrase = {**options.secrets, "backup_passphrase": "another"}
    assert backup_check.is_due(changed(secrets=passphrase), rendered)


def test_a_check_gets_the_secrets_by_its_standard_input_alone(
    manager: Machine, rendered: RenderedStack, secrets: dict[str, str]
) -> None:
    runner = FakeRunner(manager).on("run --rm", "")
    backup_check.check(runner, rendered, secrets, login=LOGIN)
    (call,) = runner.calls
    assert not any(value in call.command for value in (*secrets.values(), LOGIN[2]))
    password, *lines = (call.stdin or b"").decode().splitlines()
    assert password == LOGIN[2]
    sent = dict(line.split(" ") for line in lines)
    assert base64.b64decode(sent["backup_passphrase"]).decode() == secrets["backup_passphrase"]
    assert set(sent) == {"postgres_password", "pooler_password", "backup_passphrase"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ended(1, stderr=REFUSAL), "this cluster has data. Nothing was changed."),
        (ended(125, stderr="no such image"), "could not be checked, and nothing was deployed: no"),
    ],
)
def test_a_refusal_ends_the_deployment_before_it_begins(
    manager: Machine,
    rendered: RenderedStack,
    secrets: dict[str, str],
    answer: Completed,
    expected: str,
) -> None:
    runner = FakeRunner(manager).on("run --rm", answer)
    with pytest.raises(StackError) as caught:
        backup_check.check(runner, rendered, secrets, login=None)
    assert expected in str(caught.value)
    assert "manager-1" in str(caught.value)


def test_each_problem_is_a_warning(manager: Machine, rendered: RenderedStack) -> None:
    status = "last backup    20261127F\nPROBLEM: the last backup was made 40 h ago\n"
    runner = (
        FakeRunner(manager).on("docker exec", ended(1, stdout=status)).on("docker ps", "c0ff\n")
    )
    printed: list[str] = []
    backup_check.report_problems(runner, rendered, printed.append)
    assert printed == ["warning: backups: the last backup was made 40 h ago"]


def test_a_service_that_does_not_run_is_a_problem(
    compose: Compose, options: StackOptions, manager: Machine, rendered: RenderedStack
) -> None:
    runner = FakeRunner(manager).on("docker ps", "")
    (problem,) = backup_check.problems(runner, rendered)
    assert "airflow_backup does not run" in problem
    off = render(compose, replace(options, backups=BackupOptions(enabled=False)))
    assert backup_check.problems(runner, off) == []


def test_a_manager_that_does_not_answer_ends_no_deployment(
    manager: Machine, rendered: RenderedStack
) -> None:
    error = RemoteError(machine=manager, tried="docker ps", answer="no answer")
    printed: list[str] = []
    backup_check.report_problems(
        FakeRunner(manager).on("docker ps", error), rendered, printed.append
    )
    assert printed == ["warning: backups: their status is unknown: no answer"]
