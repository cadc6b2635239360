"""What a step of set-up is, and how a list of them is run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tools.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Step(Protocol):
    """One thing that the project needs."""

    @property
    def name(self) -> str:
        """What it is called in set-up's output."""
        ...

    def check(self) -> str | None:
        """Return in a few words what is there, or None when `install` has work to do.

        Quick, and changes nothing.
        """
        ...

    def install(self) -> None:
        """Get it. Says in one line what it is about to do, and why this way, before it does it."""
        ...


def run_steps(steps: Sequence[Step], say: Callable[[str], None]) -> list[str]:
    """Run the steps in order, skipping those that are done; return the names of the others.

    Raises SetupError when a step fails, or is not done after its installation.
    """
    installed: list[str] = []
    for step in steps:
        found = step.check()
        if found is None:
            step.install()
            installed.append(step.name)
            found = step.check()
        if found is None:
            message = f"{step.name}: was installed, but is still not found. Run `make setup` again."
            raise SetupError(message)
        say(f"✓ {step.name}: {found}")
    return installed
