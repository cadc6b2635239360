"""A problem of a setting, as a record. `infra.settings.report` turns it into sentences."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Given(Enum):
    """What the report has in place of a given value."""

    NOTHING = "nothing"
    """The value does not matter, or there is none."""
    HIDDEN = "hidden"
    """The value is always secret, even if the user did not mark it."""


NOTHING, HIDDEN = Given.NOTHING, Given.HIDDEN


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem of a setting.

    The sentences are: ``{path}: {given} {message}. Use {valid}. Did you mean {suggestion}? {hint}``
    """

    path: str
    """The setting as ``pulumi config set --path`` has it: ``hosts[2].role``."""
    message: str
    """What is wrong: a clause whose subject is ``given``, without its full stop."""
    given: object = NOTHING
    valid: str = ""
    """What to use instead, without its full stop: ``a whole number``."""
    suggestion: str = ""
    """The known name that is spelled most like the given one."""
    hint: str = ""
    """One or more whole sentences: the reason, or the next step."""
    on_key: bool = False
    """Whether the key itself is wrong, not its value: the user removes it."""


def invalid(
    path: str, given: object, valid: str, *, suggestion: str = "", hint: str = ""
) -> Problem:
    """Return the problem of a value that the setting does not accept."""
    return Problem(
        path=path,
        message="is not valid",
        given=given,
        valid=valid,
        suggestion=suggestion,
        hint=hint,
    )


def missing(path: str, valid: str = "") -> Problem:
    """Return the problem of a setting that has no value, but needs one."""
    return Problem(path=path, message="must be set", valid=valid)


def unused(path: str, hint: str) -> Problem:
    """Return the problem of a setting that must not have a value; ``hint`` is the reason."""
    return Problem(path=path, message="must not be set", hint=hint, on_key=True)


def unused_without(
    key: str, belonging: Iterable[str], raw: Mapping[str, object]
) -> Iterator[Problem]:
    """Report the settings with a value that belong to ``key``, which has none."""
    for each in belonging:
        if raw.get(each):
            yield unused(each, f"It belongs to {key}, which is not set.")


def unknown(
    path: str, what: str, *, valid: str = "", suggestion: str = "", hint: str = ""
) -> Problem:
    """Return the problem of a name that does not exist; ``what`` is its kind, such as setting."""
    return Problem(
        path=path,
        message=f"unknown {what}",
        valid=valid,
        suggestion=suggestion,
        hint=hint,
        on_key=True,
    )
