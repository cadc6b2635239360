"""Checks a stack's settings: all problems are reported together, before any resource exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from infra.errors import UserError
from infra.settings.conflicts import choice, conflicts, foreign
from infra.settings.model import Settings
from infra.settings.problem import invalid
from infra.settings.report import problems_of, report
from infra.settings.target_rules import TargetRules

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from infra.settings.problem import Problem


_CHOICES = ("target", "registry")
"""Settings whose values are in the table of targets, not in a model."""


class SettingsError(UserError):
    """One or more settings are invalid; the text lists each, its value and what is valid."""


class _UnknownTarget(TargetRules[Settings]):
    """Rules for a stack whose target is not in the table: only what all targets share."""

    settings = Settings

    def __init__(self, targets: Mapping[str, TargetRules[Any]]) -> None:
        """Accept the registries of every target, because one of them is meant."""
        self.registries = tuple({name for rules in targets.values() for name in rules.registries})


def parse(
    raw: Mapping[str, Any],
    targets: Mapping[str, TargetRules[Any]],
    secrets: Callable[[], Collection[str]] = frozenset[str],
) -> Settings:
    """Check settings, and return them as the model of their target.

    Args:
        raw: key in ``Pulumi.yaml`` → value.
        targets: the table of targets.
        secrets: returns the texts that no report may show.

    Raises:
        SettingsError: lists every problem.

    """
    name = raw.get("target", Settings.model_fields["target"].default)
    target = targets.get(str(name))
    if target is None:
        problems = [
            invalid("target", name, choice(tuple(targets))),
            *_problems_without_target(raw, targets),
        ]
        raise _error(problems, targets, secrets)
    others = foreign(target, targets)
    settings, found = _validated(raw, target, others)
    problems = [*found, *conflicts(raw, target, targets)]
    if settings is None or problems:
        raise _error(problems, targets, secrets)
    managers, workers = target.nodes(raw)
    chosen = {key: raw[key] for key in _CHOICES if key in raw}
    return settings.model_copy(update={**chosen, "managers": managers, "workers": workers})


def _problems_without_target(
    raw: Mapping[str, Any], targets: Mapping[str, TargetRules[Any]]
) -> Iterator[Problem]:
    """Report what is wrong with any target: also a value that the model of its target rejects."""
    shared = _UnknownTarget(targets)
    others = foreign(shared, targets)
    yield from _validated(raw, shared, others)[1]
    for name, target in targets.items():
        own = {key: raw[key] for key in raw if key in others and others[key][0] == name}
        yield from _validated(own, target, {})[1]
    yield from conflicts(raw, shared, {})


def _validated(
    raw: Mapping[str, Any], target: TargetRules[Any], others: Collection[str]
) -> tuple[Settings | None, list[Problem]]:
    """Return what the target's model makes of its settings; None with the problems it finds.

    ``others`` are the keys of other targets.
    """
    own = {key: value for key, value in raw.items() if key not in (*_CHOICES, *others)}
    try:
        return target.settings.model_validate(own, by_alias=True, by_name=False), []
    except ValidationError as error:
        return None, problems_of(error, target.fields, [*target.fields, *others])


def _error(
    problems: Sequence[Problem],
    targets: Mapping[str, TargetRules[Any]],
    secrets: Callable[[], Collection[str]],
) -> SettingsError:
    fields = {key: field for rules in targets.values() for key, field in rules.fields.items()}
    return SettingsError(report(problems, fields, secrets()))
