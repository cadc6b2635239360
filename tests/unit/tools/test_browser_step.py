"""The step that gets a browser for the tests."""

from pathlib import Path
from typing import Any

from tools.browser import PACKAGES, Browser


class Apt:
    """Records its requests."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def install(self, packages: list[str], *, why: str) -> None:
        assert why == "browser"
        self.asked.append(packages)


def test_only_what_is_missing_is_installed(tmp_path: Path) -> None:
    apt: Any = Apt()
    here, missing = tmp_path / "chromium", tmp_path / "chromedriver"
    here.touch()
    step = Browser(apt=apt, programs={here: "chromium", missing: "chromium-driver"})
    assert step.check() is None
    step.install()
    assert apt.asked == [["chromium-driver"]]
    missing.touch()
    assert step.check() == str(here)


def test_the_programs_are_those_that_the_tests_start() -> None:
    started = (Path(__file__).parents[2] / "e2e" / "browser.py").read_text()
    for program in PACKAGES:
        assert f'"{program}"' in started
