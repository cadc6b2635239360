"""Reports invalid settings: each with its key, the given value, and what is valid. No I/O.

It never shows values that may be secret.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel

from infra.settings.secret_values import leaves

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo

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


def report(
    problems: Sequence[Problem], fields: Mapping[str, FieldInfo], secrets: Collection[str]
) -> str:
    """Return the report.

    Args:
        problems: at least one.
        fields: the settings of all targets, by key.
        secrets: the texts that the report must not show.

    """
    lines = [
        f"  {key}: {_shown(key, given, fields, secrets)} given; valid: {valid}"
        for key, given, valid in problems
    ]
    example = _example(problems[0], fields)
    return "\n".join(["These settings are not valid:", *lines, _ADVICE, example])


def keys(model: type[BaseModel]) -> list[str]:
    """Return a model's keys as ``Pulumi.yaml`` spells them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def problems_of(
    error: ValidationError, fields: Mapping[str, FieldInfo], known: Iterable[str]
) -> list[Problem]:
    """Return the problems that pydantic found; ``known`` are the keys to suggest."""
    return [
        (_path(problem["loc"]), _given(problem), _valid(problem, fields, known))
        for problem in error.errors()
    ]


def _example(problem: Problem, fields: Mapping[str, FieldInfo]) -> str:
    key, _, valid = problem
    if valid.startswith((_UNKNOWN, UNUSED)):
        nested = "[" in key or "." in key
        return f"  pulumi config rm --path '{key}'" if nested else f"  pulumi config rm {key}"
    if key in fields and get_origin(fields[key].annotation) is tuple:
        entry = _model_in(fields[key].annotation)
        key += f"[0].{keys(entry)[0]}" if entry else "[0]"
    if "[" in key or "." in key:
        secret = "--secret " if key.endswith(".password") else ""
        return f"  pulumi config set {secret}--path '{key}' VALUE"
    return f"  pulumi config set {key} VALUE"


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - a type as Python has it
    """Return the model of the objects in a setting, such as ``Host`` for ``tuple[Host, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _shown(
    key: str, given: object, fields: Mapping[str, FieldInfo], secrets: Collection[str]
) -> str:
    """Return the given value for display, unless it may contain a secret, like a list of hosts."""
    if given is None:
        return "nothing"
    text = repr(given)
    within = re.split(r"[.[]", key)[0]
    whole = type(given) in (dict, list) or text.startswith(("'[", "'{"))
    if (
        isinstance(given, _Hidden)
        or (whole and (within not in fields or _model_in(fields[within].annotation)))
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


def _valid(
    problem: Any,  # noqa: ANN401 - pydantic's ErrorDetails, by type
    fields: Mapping[str, FieldInfo],
    known: Iterable[str],
) -> str:
    context = problem.get("ctx", {})
    match problem["type"]:
        case "greater_than_equal":
            return f"{context['ge']} or more"
        case "less_than_equal":
            return f"{context['le']} or less"
        case "literal_error":
            return str(context["expected"])
        case "extra_forbidden":
            return f"{_UNKNOWN}{_similar(problem['loc'], fields, known)}"
        case kind if kind in _VALID:
            return _VALID[kind].format(key=_path(problem["loc"]))
        case _:
            return problem["msg"].removeprefix("Value error, ")


def _similar(
    location: tuple[int | str, ...], fields: Mapping[str, FieldInfo], known: Iterable[str]
) -> str:
    """Suggest a key with a spelling similar to the given one."""
    *parents, given = location
    for parent in parents:
        model = _model_in(fields[str(parent)].annotation) if parent in fields else None
        if model:
            fields = {field.alias or name: field for name, field in model.model_fields.items()}
            known = fields
    spelled = {key.lower(): key for key in known}
    found = difflib.get_close_matches(str(given).lower(), spelled, n=1)
    return f"; did you mean {spelled[found[0]]}?" if found else ""
