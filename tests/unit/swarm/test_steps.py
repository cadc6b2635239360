"""Every step has its command and its lines of progress, beside the rule that needs it."""

from __future__ import annotations

import inspect

import pytest

from infra.swarm import execute, plan, recovery, step
from infra.swarm.step import Step


def kinds(of: type[Step]) -> list[type[Step]]:
    return [kind for direct in of.__subclasses__() for kind in (direct, *kinds(direct))]


STEPS = [kind for kind in kinds(Step) if not inspect.isabstract(kind) and kind.__name__[0] != "_"]


def test_the_steps_are_found() -> None:
    assert {recovery.RecoverSwarm, recovery.StartEngine} < set(STEPS)
    assert len(STEPS) >= 15


@pytest.mark.parametrize("kind", STEPS)
def test_a_step_has_its_lines_of_progress(kind: type[Step]) -> None:
    own_lines = kind.todo is not Step.todo and kind.done is not Step.done
    assert own_lines or (kind.TODO and kind.DONE)


@pytest.mark.parametrize("module", [execute, plan, step])
def test_neither_the_plan_nor_its_execution_lists_steps(module: object) -> None:
    """A new step changes the module of its stage alone."""
    listed = [kind.__name__ for kind in STEPS if kind.__name__ in vars(module)]
    assert listed == []
