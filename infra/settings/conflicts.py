"""Checks between settings that all targets share, and of settings that a target does not use."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from infra.settings import capacity
from infra.settings.airflow import airflow_problems
from infra.settings.backup import backup_problems
from infra.settings.mail import mail_problems
from infra.settings.memory import memory_problems
from infra.settings.problem import invalid, unused
from infra.settings.secrets import secret_problems
from infra.stack.ports import RESERVED_PORTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.settings.problem import Problem
    from infra.settings.target_rules import TargetRules


def conflicts(
    raw: Mapping[str, Any], target: TargetRules[Any], targets: Mapping[str, TargetRules[Any]]
) -> Iterator[Problem]:
    """Report all problems that the model does not report by itself.

    Args:
        raw: key in ``Pulumi.yaml`` → value.
        target: the rules of the stack's target.
        targets: the rules of all targets, by name.

    """
    yield from _port_conflicts(raw, target)
    yield from _unused(raw, target, targets)
    yield from _registry(raw, target, targets)
    yield from target.conflicts(raw)
    yield from capacity.conflicts(raw, target)
    yield from secret_problems(raw)
    yield from memory_problems(raw)
    yield from airflow_problems(raw)
    yield from backup_problems(raw)
    yield from mail_problems(raw)


def foreign(
    target: TargetRules[Any], targets: Mapping[str, TargetRules[Any]]
) -> Mapping[str, tuple[str, object]]:
    """Return the keys that only other targets have, each with its target and its default."""
    return {
        key: (name, default)
        for name, other in targets.items()
        for key, default in other.defaults.items()
        if key not in target.fields
    }


def _unused(
    raw: Mapping[str, Any], target: TargetRules[Any], targets: Mapping[str, TargetRules[Any]]
) -> Iterator[Problem]:
    """Report settings that have a value, but no effect with this target."""
    for key, (owner, default) in foreign(target, targets).items():
        if key in raw and _is_changed(raw[key], default):
            yield unused(key, f"It belongs to target {owner}.")
    for key, reason in target.unused.items():
        if key in raw and _is_changed(raw[key], target.defaults[key]):
            yield unused(key, reason)


def _is_changed(given: object, default: object) -> bool:
    """Compare values that are Python's or, from Pulumi, text."""
    return _text(given) != _text(default)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value or [])


def _registry(
    raw: Mapping[str, Any], target: TargetRules[Any], targets: Mapping[str, TargetRules[Any]]
) -> Iterator[Problem]:
    """Report a registry that the target does not have."""
    given = raw.get("registry", target.defaults["registry"])
    if given in target.registries:
        return
    owner = next((name for name, other in targets.items() if given in other.registries), "")
    hint = f"The registry {given} belongs to target {owner}." if owner else ""
    yield invalid("registry", given, choice(target.registries), hint=hint)


def choice(names: tuple[str, ...]) -> str:
    """Return names as alternatives: ``'a', 'b' or 'c'``."""
    *first, last = map(repr, names)
    return f"{', '.join(first)} or {last}" if first else last


def _port_conflicts(raw: Mapping[str, Any], target: TargetRules[Any]) -> Iterator[Problem]:
    """Report ports that a manager already uses."""
    taken = dict(RESERVED_PORTS)
    for key in ("webPort", "flowerPort"):
        given = raw.get(key, target.defaults[key])
        port = int(given) if re.fullmatch(r"[0-9]{1,9}", str(given)) else None
        if port in taken:
            yield invalid(key, given, f"another port: this one is {taken[port]}")
        elif port is not None:
            taken[port] = f"{key}'s"
