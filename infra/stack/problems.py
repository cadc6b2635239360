"""What is wrong with the compose file: one record for each mistake, and one report of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = "docker-compose.yaml"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A mistake at ``path`` (``services.web.links``).

    ``given`` is the value as the report shows it, and empty where it may be a secret. ``valid``
    is what the swarm takes, or why it takes nothing there; ``advice`` is the next step.
    """

    path: str
    given: str = ""
    valid: str
    advice: str = ""

    def __str__(self) -> str:
        """Write the mistake on one line, with its next step."""
        given = f" {self.given} given;" if self.given else ""
        advice = f" Next: {self.advice}." if self.advice else ""
        return f"{self.path}:{given} {self.valid}.{advice}"


HEADLINE = f"{FILE} has entries that the swarm cannot run as they are:"


def refuse(problems: Iterable[Problem], headline: str = HEADLINE) -> None:
    """Report every mistake at once under a headline; of each place the first only.

    Raises:
        StackError: if there is a mistake.

    """
    first = {problem.path: problem for problem in reversed(list(problems))}
    if not first:
        return
    lines = [f"  {first[path]}" for path in sorted(first)]
    msg = "\n".join(
        [
            headline,
            *lines,
            "Nothing was created or changed. Correct them and run `pulumi up` again.",
        ]
    )
    raise StackError(msg)
