"""Reports invalid settings: each with its key, the given value, and what is valid. No I/O.

It never shows values that may be secret.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, get_origin

from infra.machines.existing.settings import Host, Jump
from infra.settings.secret_values import leaves

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from pydantic import BaseModel, ValidationError

    from infra.settings.types import Problem

UNUSED = "nothing: "
"""Prefix of the text for a setting that must not be set."""
_ADVICE = "Nothing was created or changed. Fix them, for example:"
_UNKNOWN = "no such setting"
_VALID = {
    "dict_type": "an object, set with --path '{key}.NAME' for each of its entries",
    "missing": "must be set",
    "model_type": "an object, set with --path '{key}.address' for its address, and so on",
    "string_pattern_mismatch": "lower-case letters and digits, with single . _ or - between them",
    "string_type": "one text, not a list or an object",
    "tuple_type": "a list, set with --path '{key}[0]' for its first entry, and so on",
}
"""What is valid instead, by pydantic's name of the problem."""


def report(problems: Sequence[Problem], model: type[BaseModel], secrets: Collection[str]) -> str:
    """Return the report; ``secrets`` are the texts that it must not show."""
    known = keys(model)
    lines = [
        f"  {key}: {_shown(key, given, known, secrets)} given; valid: {valid}"
        for key, given, valid in problems
    ]
    example = _example(problems[0], _lists(model))
    return "\n".join(["These settings are not valid:", *lines, _ADVICE, example])


def keys(model: type[BaseModel]) -> list[str]:
    """Return a model's keys as ``Pulumi.yaml`` spells them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Return the problems that pydantic found."""
    known = keys(model)
    return [
        (_path(problem["loc"]), _given(problem), _valid(problem, known))
        for problem in error.errors()
    ]


def _lists(model: type[BaseModel]) -> set[str]:
    """Return the keys of settings that are lists."""
    return {
        field.alias or name
        for name, field in model.model_fields.items()
        if get_origin(field.annotation) is tuple
    }


def _example(problem: Problem, lists: Collection[str]) -> str:
    key, _, valid = problem
    if valid.startswith((_UNKNOWN, UNUSED)):
        nested = "[" in key or "." in key
        return f"  pulumi config rm --path '{key}'" if nested else f"  pulumi config rm {key}"
    if key in lists:
        key += "[0].name" if key == "hosts" else "[0]"
    if "[" in key or "." in key:
        secret = "--secret " if key.endswith(".password") else ""
        return f"  pulumi config set {secret}--path '{key}' VALUE"
    return f"  pulumi config set {key} VALUE"


def _shown(key: str, given: object, known: Collection[str], secrets: Collection[str]) -> str:
    """Return the given value for display, unless it may contain a secret, like a list of hosts."""
    if given is None:
        return "nothing"
    text = repr(given)
    within = re.split(r"[.[]", key)[0]
    whole = type(given) in (dict, list) or text.startswith(("'[", "'{"))
    if (
        isinstance(given, _Hidden)
        or (whole and (within == "hosts" or within not in known))
        or "PRIVATE KEY" in text
        or any(leaf in secrets for leaf in leaves(given))
    ):
        return "a value that is not shown"
    return text


class _Hidden:
    """Placeholder for a secret."""


HIDDEN: object = _Hidden()
"""Given value of a setting that is always secret, even if the user did not mark it."""


def _path(location: tuple[int | str, ...]) -> str:
    """Return a path in the form of ``pulumi config set --path``: ``hosts[2].role``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")


def _given(problem: Any) -> object:  # noqa: ANN401 - pydantic's ErrorDetails, by type
    """Return the given value; an unknown key in a list of objects may be a misspelt password."""
    misspelt = problem["type"] == "extra_forbidden" and len(problem["loc"]) > 1
    if misspelt or problem["loc"][-1] == "password":
        return _Hidden()
    return None if problem["type"] == "missing" else problem["input"]


def _valid(problem: Any, known: Iterable[str]) -> str:  # noqa: ANN401 - pydantic's ErrorDetails, by type
    context = problem.get("ctx", {})
    match problem["type"]:
        case "greater_than_equal":
            return f"{context['ge']} or more"
        case "less_than_equal":
            return f"{context['le']} or less"
        case "literal_error":
            return str(context["expected"])
        case "extra_forbidden":
            return f"{_UNKNOWN}{_similar(problem['loc'], known)}"
        case kind if kind in _VALID:
            return _VALID[kind].format(key=_path(problem["loc"]))
        case _:
            return problem["msg"].removeprefix("Value error, ")


def _similar(location: tuple[int | str, ...], known: Iterable[str]) -> str:
    """Suggest a key with a spelling similar to the given one."""
    *parents, given = location
    if parents:
        model = Jump if "jump" in parents else Host
        known = keys(model)
    spelled = {key.lower(): key for key in known}
    found = difflib.get_close_matches(str(given).lower(), spelled, n=1)
    return f"; did you mean {spelled[found[0]]}?" if found else ""
