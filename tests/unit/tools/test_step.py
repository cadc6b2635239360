import pytest

from tools.errors import SetupError
from tools.step import run_steps


class Step:
    def __init__(self, name: str, *, done: bool, works: bool = True) -> None:
        self.name, self.done, self.works, self.installs = name, done, works, 0

    def check(self) -> str | None:
        return "here" if self.done else None

    def install(self) -> None:
        self.installs += 1
        self.done = self.works


def test_what_is_done_is_skipped(printed: list[str]) -> None:
    done, missing = Step("done", done=True), Step("missing", done=False)
    assert run_steps([done, missing], printed.append) == ["missing"]
    assert (done.installs, missing.installs) == (0, 1)
    assert printed == ["✓ done: here", "✓ missing: here"]


def test_second_run_has_nothing_to_do(printed: list[str]) -> None:
    steps = [Step("one", done=False), Step("two", done=False)]
    run_steps(steps, printed.append)
    assert run_steps(steps, printed.append) == []
    assert [step.installs for step in steps] == [1, 1]


def test_an_installation_that_leaves_nothing_behind_is_an_error(printed: list[str]) -> None:
    later = Step("later", done=False)
    with pytest.raises(SetupError, match="broken: was installed, but is still not found"):
        run_steps([Step("broken", done=False, works=False), later], printed.append)
    assert later.installs == 0
