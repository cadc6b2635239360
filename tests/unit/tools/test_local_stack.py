from collections.abc import Sequence

import pytest

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


def test_a_failure_says_how_to_go_on_and_how_to_go_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert local_stack.up(Pulumi(0, 255)) == 255
    message = capsys.readouterr().err
    assert "`make up` goes on" in message
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
    assert "Interrupted. `make up` goes on" in capsys.readouterr().err
    assert local_stack.down(Pulumi(130)) == 130
    assert "Interrupted. `make down` goes on" in capsys.readouterr().err
