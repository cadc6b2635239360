"""Problems of the compose file: a record for each, and one report of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = "docker-compose.yaml"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A problem at ``path`` (``services.web.links``).

    ``given`` is the value as the report shows it, empty if it may be a secret. ``valid`` is what
    the swarm accepts, or why it accepts no value there; ``advice`` is the next step.
    """

    path: str
    given: str = ""
    valid: str
    advice: str = ""

    def __str__(self) -> str:
        """Return the problem on one line, with its next step."""
        given = f" {self.given} given;" if self.given else ""
        advice = f" Next: {self.advice}." if self.advice else ""
        return f"{self.path}:{given} {self.valid}.{advice}"


def refuse(problems: Iterable[Problem]) -> None:
    """Report all problems together; only the first one for each path.

    Raises:
        StackError: if there is a problem.

    """
    first = {problem.path: problem for problem in reversed(list(problems))}
    if not first:
        return
    lines = [f"  {first[path]}" for path in sorted(first)]
    msg = "\n".join(
        [
            f"{FILE} has entries that the swarm cannot run as they are:",
            *lines,
            "Nothing was created or changed. Fix them and run `pulumi up` again.",
        ]
    )
    raise StackError(msg)
