from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from infra.project import this_clone
from tools import local_stack


class Pulumi:
    """Answers each call with the next exit status."""

    def __init__(self, *statuses: int) -> None:
        self.statuses, self.calls = list(statuses), list[str]()

    def __call__(self, command: Sequence[str]) -> int:
        self.calls.append(" ".join(command))
        return self.statuses.pop(0)


def test_up_selects_the_stack_first() -> None:
    pulumi = Pulumi(0, 0)
    assert local_stack.up(pulumi) == 0
    assert pulumi.calls[0] == "pulumi stack select --create local"
    assert pulumi.calls[1].startswith("pulumi up --yes --skip-preview")
    assert pulumi.calls[1].endswith("--stack local")


def test_a_failure_has_the_commands_to_continue_and_to_go_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert local_stack.up(Pulumi(0, 255)) == 255
    message = capsys.readouterr().err
    assert "`make up` again: it continues" in message
    assert "`make down`" in message


def test_a_stack_that_cannot_be_selected_is_not_brought_up() -> None:
    pulumi = Pulumi(1)
    assert local_stack.up(pulumi) == 1
    assert len(pulumi.calls) == 1


def test_down_destroys_without_asking() -> None:
    pulumi = Pulumi(0, 0)
    assert local_stack.down(pulumi) == 0
    assert pulumi.calls[1].startswith("pulumi destroy --yes")


def test_an_interruption_names_the_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert local_stack.up(Pulumi(0, 130)) == 130
    assert "Interrupted. `make up` continues" in capsys.readouterr().err
    assert local_stack.down(Pulumi(130)) == 130
    assert "Interrupted. `make down` continues" in capsys.readouterr().err


@pytest.fixture
def users_backend(
    tmp_path: Path, programs: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], bool]:
    """Return whether `made_elsewhere` refuses, for a stack whose output `clone` is given."""
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://team")

    def ask(output: str) -> bool:
        programs("pulumi", output)
        return local_stack.made_elsewhere(tmp_path)

    return ask


def test_another_clones_stack_in_a_shared_backend_is_left_alone(
    users_backend: Callable[[str], bool], capsys: pytest.CaptureFixture[str]
) -> None:
    assert users_backend("echo other-machine:/home/them/dairflow")
    message = capsys.readouterr().err
    assert "other-machine:/home/them/dairflow" in message
    assert this_clone() in message
    assert "pulumi stack init" in message


def test_ones_own_stack_and_a_new_one_are_used(users_backend: Callable[[str], bool]) -> None:
    assert not users_backend(f"echo '{this_clone()}'")
    assert not users_backend("echo no stack named local found >&2; exit 255")
