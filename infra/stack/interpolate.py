"""Interpolates ``${NAME}`` in compose files, because the swarm does not have an environment.

``docker stack deploy`` interpolates too, from the environment of the shell on the manager; so a
remaining ``$`` is escaped for it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from infra.stack.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DEFAULT = r"(?:[^{}]|\$\{[^{}]*\})*"
"""The text after ``:-``; it may have variables with their own defaults, one level deep."""

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)"
    rf"|\{{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>{_DEFAULT}))?\}}"
    r"|(?P<bad>))"
)


def interpolate(value: Any, variables: Mapping[str, str]) -> tuple[Any, list[Problem]]:  # noqa: ANN401 - any YAML value
    """Fill ``${NAME}`` and ``${NAME:-default}`` in every string of ``value``.

    Returns the filled value, and a problem for each string that has a variable with neither a value
    nor a default, or another form of ``$``; such a string stays as it is.
    """
    problems: list[Problem] = []

    def fill(text: str, path: str) -> str:
        try:
            return _filled(text, variables)
        except _NotFilledError as error:
            problems.append(Problem(path=path, valid=str(error)))
            return text

    return _map_strings(value, fill, ""), problems


def escape(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    """Double every ``$`` so that ``docker stack deploy`` reads it as a dollar sign."""

    def double(text: str, _path: str) -> str:
        return text.replace("$", "$$")

    return _map_strings(value, double, "")


class _NotFilledError(Exception):
    """A string cannot be filled; the text is the cause."""


def _filled(text: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: _fill(match, variables), text)


def _fill(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match["escaped"]:
        return "$"
    name = match["name"] or ""
    if not name:
        msg = "valid: ${NAME}, ${NAME:-default}, and $$ for a dollar sign"
        raise _NotFilledError(msg)
    default = match["default"]
    if name not in variables and default:
        return _filled(default, variables)
    value = variables.get(name, default)
    if value is None:  # pyright: ignore[reportUnnecessaryComparison] - typeshed has no None here
        msg = f"{name} has no value on the swarm and no default; valid: ${{{name}:-default}}"
        raise _NotFilledError(msg)
    return value


def _map_strings(value: Any, change: Callable[[str, str], str], path: str) -> Any:  # noqa: ANN401 - any YAML value
    if isinstance(value, str):
        return change(value, path)
    if isinstance(value, dict):
        mapping = cast("dict[str, Any]", value)
        return {
            key: _map_strings(item, change, f"{path}.{key}" if path else str(key))
            for key, item in mapping.items()
        }
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [_map_strings(item, change, f"{path}[{n}]") for n, item in enumerate(items)]
    return value
