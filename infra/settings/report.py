"""Reports invalid settings: sentences for each, with the given value and what is valid. No I/O.

It never shows values that may be secret.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel

from infra.settings.fields import fields as fields_of
from infra.settings.problem import HIDDEN, NOTHING, Problem, invalid, missing, unknown
from infra.settings.secret_values import leaves

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo

_HEADLINE = "These settings are not valid:"
_ADVICE = "Nothing was created or changed. Fix them, for example:"
_VALID = {
    "dict_type": "an object, set with --path '{key}.NAME' for each of its entries",
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} or less",
    "literal_error": "{expected}",
    "model_type": "an object, set with --path '{key}.address' for its address, and so on",
    "string_pattern_mismatch": "lower-case letters and digits, with single . _ or - between them",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} character(s)",
    "string_type": "one text, not a list or an object",
    "tuple_type": "a list, set with --path '{key}[0]' for its first entry, and so on",
    "value_error": "{error}",
}
"""What is valid instead, by pydantic's name of the problem, with the names of its context."""


def report(
    problems: Sequence[Problem], fields: Mapping[str, FieldInfo], secrets: Collection[str]
) -> str:
    """Return the report.

    Args:
        problems: at least one.
        fields: the settings of all targets, by key.
        secrets: the texts that the report must not show.

    """
    lines = [f"  {sentences(problem, _shown(problem, fields, secrets))}" for problem in problems]
    return "\n".join([_HEADLINE, *lines, _ADVICE, _example(problems[0], fields)])


def sentences(problem: Problem, given: str) -> str:
    """Return a problem as text; ``given`` is the value as the report shows it, or empty."""
    parts = [f"{problem.path}: {f'{given} ' if given else ''}{problem.message}."]
    if problem.valid:
        parts.append(f"Use {problem.valid}.")
    if problem.suggestion:
        parts.append(f"Did you mean {problem.suggestion}?")
    return " ".join([*parts, *filter(None, [problem.hint])])


def problems_of(
    error: ValidationError, fields: Mapping[str, FieldInfo], known: Iterable[str]
) -> list[Problem]:
    """Return the problems that pydantic found; ``known`` are the keys to suggest."""
    return [_problem(each, fields, known) for each in error.errors()]


def _problem(
    found: Any,  # noqa: ANN401 - pydantic's ErrorDetails, by type
    fields: Mapping[str, FieldInfo],
    known: Iterable[str],
) -> Problem:
    kind, path = found["type"], _path(found["loc"])
    if kind == "extra_forbidden":
        return unknown(path, "setting", suggestion=_similar(found["loc"], fields, known))
    if kind == "missing":
        return missing(path)
    given = HIDDEN if found["loc"][-1] == "password" else found["input"]
    if kind in _VALID:
        return invalid(path, given, _VALID[kind].format(key=path, **found.get("ctx", {})))
    return invalid(path, given, "", hint=f"{found['msg']}.")


def _example(problem: Problem, fields: Mapping[str, FieldInfo]) -> str:
    """Return a command that fixes a problem."""
    key = problem.path
    if problem.on_key:
        nested = "[" in key or "." in key
        return f"  pulumi config rm --path '{key}'" if nested else f"  pulumi config rm {key}"
    if key in fields and get_origin(fields[key].annotation) is tuple:
        entry = _model_in(fields[key].annotation)
        key += f"[0].{next(iter(fields_of(entry)))}" if entry else "[0]"
    if "[" in key or "." in key:
        secret = "--secret " if key.endswith(".password") else ""
        return f"  pulumi config set {secret}--path '{key}' VALUE"
    return f"  pulumi config set {key} VALUE"


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - a type as Python has it
    """Return the model of the objects in a setting, such as ``Host`` for ``tuple[Host, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _shown(problem: Problem, fields: Mapping[str, FieldInfo], secrets: Collection[str]) -> str:
    """Return the given value for display, unless it may contain a secret, like a list of hosts."""
    given = problem.given
    if given is NOTHING:
        return ""
    text = repr(given)
    within = re.split(r"[.[]", problem.path)[0]
    whole = type(given) in (dict, list) or text.startswith(("'[", "'{"))
    if (
        given is HIDDEN
        or (whole and (within not in fields or _model_in(fields[within].annotation)))
        or "PRIVATE KEY" in text
        or any(leaf in secrets for leaf in leaves(given))
    ):
        return "the value (not shown)"
    return text


def _path(location: tuple[int | str, ...]) -> str:
    """Return a path in the form of ``pulumi config set --path``: ``hosts[2].role``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")


def _similar(
    location: tuple[int | str, ...], fields: Mapping[str, FieldInfo], known: Iterable[str]
) -> str:
    """Return the key with the spelling most similar to the given one; empty if there is none."""
    *parents, given = location
    for parent in parents:
        model = _model_in(fields[str(parent)].annotation) if parent in fields else None
        if model:
            fields = fields_of(model)
            known = fields
    spelled = {key.lower(): key for key in known}
    found = difflib.get_close_matches(str(given).lower(), spelled, n=1)
    return spelled[found[0]] if found else ""
