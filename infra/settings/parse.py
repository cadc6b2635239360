"""Checks a stack's settings: all problems are reported together, before any resource exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from infra.errors import UserError
from infra.settings.conflicts import choice, conflicts, foreign
from infra.settings.model import Settings
from infra.settings.report import problems_of, report
from infra.settings.target_rules import TargetRules

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from infra.settings.types import Problem


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
    found = targets.get(str(name))
    target = found or _UnknownTarget(targets)
    problems: list[Problem] = [] if found else [("target", name, choice(tuple(targets)))]
    settings, invalid = _validated(raw, target, targets)
    problems += [*invalid, *conflicts(raw, target, targets if found else {})]
    if settings is None or problems:
        fields = {key: field for rules in targets.values() for key, field in rules.fields.items()}
        raise SettingsError(report(problems, fields, secrets()))
    managers, workers = target.nodes(raw)
    chosen = {key: raw[key] for key in _CHOICES if key in raw}
    return settings.model_copy(update={**chosen, "managers": managers, "workers": workers})


def _validated(
    raw: Mapping[str, Any], target: TargetRules[Any], targets: Mapping[str, TargetRules[Any]]
) -> tuple[Settings | None, list[Problem]]:
    """Return what the target's model makes of its settings; None with the problems it finds."""
    others = foreign(target, targets)
    own = {key: value for key, value in raw.items() if key not in (*_CHOICES, *others)}
    try:
        return target.settings.model_validate(own, by_alias=True, by_name=False), []
    except ValidationError as error:
        return None, problems_of(error, target.fields, [*target.fields, *others])
