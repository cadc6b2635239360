"""The ``${NAME}`` of compose files: filled in here, because the swarm's side has no environment.

``docker stack deploy`` interpolates too, from the environment of the shell on the manager; so what
is left of a ``$`` is escaped for it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from infra.stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DEFAULT = r"(?:[^{}]|\$\{[^{}]*\})*"
"""What stands after ``:-``; it may have variables with defaults of their own, one level deep."""

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)"
    rf"|\{{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>{_DEFAULT}))?\}}"
    r"|(?P<bad>))"
)


def interpolate(value: Any, variables: Mapping[str, str]) -> Any:  # noqa: ANN401 - any YAML value
    """Fill ``${NAME}`` and ``${NAME:-default}`` in every string of ``value``.

    Raises:
        StackError: for a variable with neither a value nor a default, or another form of ``$``.

    """

    def fill(text: str) -> str:
        return _VARIABLE.sub(lambda match: _fill(match, variables), text)

    return _map_strings(value, fill)


def escape(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    """Double every ``$`` so that ``docker stack deploy`` takes it for itself."""

    def double(text: str) -> str:
        return text.replace("$", "$$")

    return _map_strings(value, double)


def _fill(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match["escaped"]:
        return "$"
    name = match["name"] or ""
    if not name:
        msg = (
            f"{match.string!r} in the compose file: only ${{NAME}}, ${{NAME:-default}} and $$ are"
            " known here"
        )
        raise StackError(msg)
    default = match["default"]
    if name not in variables and default:
        return str(interpolate(default, variables))
    value = variables.get(name, default)
    if value is None:  # pyright: ignore[reportUnnecessaryComparison] - typeshed has no None here
        msg = f"{match.string!r} in the compose file: {name} has no value and no default"
        raise StackError(msg)
    return value


def _map_strings(value: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401 - any YAML value
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        mapping = cast("dict[str, Any]", value)
        return {key: _map_strings(item, change) for key, item in mapping.items()}
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [_map_strings(item, change) for item in items]
    return value
