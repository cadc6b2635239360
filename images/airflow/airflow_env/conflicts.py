"""Why requirements cannot be satisfied, in terms of the lines that ask for it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from rattler.exceptions import SolverError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_env.conda import Solver
    from airflow_env.requirements import Requirement

SHOWN_VERSIONS = 6
_PREFIX = "Cannot solve the request because of: "


async def explain(solver: Solver, requirements: Sequence[Requirement], error: SolverError) -> str:
    """Return the message for requirements that rattler could not solve."""
    where = ", ".join(channel.public for channel in solver.channels)
    problems: list[str] = []
    for each in requirements:
        try:
            await solver.solve([each])
        except SolverError as alone:
            problems += [f"    {each}", *_indent(await _why_alone(solver, each, alone))]
    if problems:
        lines = [f"these requirements cannot be had from {where}:", *problems]
        return "\n".join([*lines, "Correct the lines, or name another channel in CONDA_CHANNELS."])
    culprits, reason = await _smallest_conflict(solver, requirements, error)
    return "\n".join(
        (
            f"these requirements exclude each other (channels: {where}):",
            *(f"    {each}" for each in culprits),
            "The solver says:",
            *_indent(_text(reason)),
            "Loosen or remove one of these lines.",
        )
    )


async def _smallest_conflict(
    solver: Solver, requirements: Sequence[Requirement], error: SolverError
) -> tuple[list[Requirement], SolverError]:
    """Leave out one line after the other; what must stay for the conflict to stay is the conflict.

    rattler's own text does not name a line that only rules out another's versions.
    """
    culprits = list(requirements)
    for each in requirements:
        rest = [other for other in culprits if other is not each]
        try:
            await solver.solve(rest)
        except SolverError as smaller:
            culprits, error = rest, smaller
    return culprits, error


async def _why_alone(solver: Solver, requirement: Requirement, error: SolverError) -> str:
    versions = await solver.versions(requirement)
    if not versions:
        name = requirement.spec.name.normalized
        near = get_close_matches(name, await solver.names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"there is no package {name}{hint}"
    text = _text(error)
    if text.startswith("No candidates were found"):
        shown = ", ".join(versions[-SHOWN_VERSIONS:])
        more = "… " if len(versions) > SHOWN_VERSIONS else ""
        return f"no such version; there are {more}{shown}"
    return text


def _text(error: SolverError) -> str:
    return str(error).removeprefix(_PREFIX).strip()


def _indent(text: str) -> list[str]:
    return [f"        {line}" for line in text.splitlines()]
