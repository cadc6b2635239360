"""Read the text of a compose file as Docker Compose reads it.

Docker Compose reads YAML 1.2 with the merge keys of 1.1, and refuses a key that is there twice.
PyYAML takes the last of them, ``no`` for false, and ``22:22`` for a number in base 60.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, cast

import yaml
from yaml.constructor import ConstructorError

from infra.stack.problems import Problem
from infra.stack.yaml_values import is_object

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 64
"""Levels of a document. The deepest of Compose's keys is at nine; at some ten thousand, a parser
in C ends the process."""

MAX_VALUES = 100_000
"""Values of a document when each alias is replaced by what it means."""

_MAX_NUMBER = 2**63
_UNUSABLE = re.compile("[\0\ud800-\udfff]")


class _Loader(yaml.CSafeLoader):
    """Takes bare words for what Compose takes them for."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's attribute of the class

    def construct_object(self, node: Any, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - PyYAML's
        try:
            return cast("Any", super()).construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            msg = "this is not a value of its type"
            raise _mistake(msg, node) from None


for _name, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    (
        "int",
        "[-+]?(?:0b[01][01_]*|0o?[0-7][0-7_]*|0x[0-9a-fA-F][0-9a-fA-F_]*|0|[1-9][0-9_]*)",
        "-+0123456789",
    ),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
    ("merge", "<<", "<"),
    ("null", "~|null|Null|NULL|", ("~", "n", "N", "")),
):
    cast("Any", _Loader).add_implicit_resolver(
        f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), list(_first)
    )


def load(text: str) -> object:
    """Return the value of a document.

    Raises:
        yaml.YAMLError: with the line of the mistake.

    """
    _check_depth(text)
    loader: Any = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_keys(node)
        return loader.construct_document(node)
    except RecursionError:
        msg = "an object is merged with `<<` from too many others, one in another"
        raise yaml.YAMLError(msg) from None
    finally:
        loader.dispose()


def value_problems(document: object) -> list[Problem]:
    """Find what no compose file can hold: other types, too much, and texts that no program takes.

    The first such place ends the search, since a document may be endless by its aliases.
    """
    if not is_object(document):
        return [Problem(path="services", valid="valid: an object with services")]
    for count, (path, value, depth) in enumerate(_values(document)):
        problem = _value_problem(path or "services", value)
        if problem is None and (depth > MAX_DEPTH or count >= MAX_VALUES):
            problem = Problem(
                path=re.split(r"[.\[]", path)[0],
                valid=f"valid: up to {MAX_VALUES:,} values in {MAX_DEPTH} levels, with each alias"
                " replaced by what it means",
                advice="write what is needed without aliases",
            )
        if problem:
            return [problem]
    return []


def _mistake(what: str, node: Any) -> ConstructorError:  # noqa: ANN401 - PyYAML has no types
    return ConstructorError(None, None, what, node.start_mark)


def _check_depth(text: str) -> None:
    depth = 0
    for event in cast("Iterator[Any]", yaml.parse(text, Loader=yaml.CSafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            msg = f"there are more than {MAX_DEPTH} levels"
            raise _mistake(msg, event)


def _check_keys(root: Any) -> None:  # noqa: ANN401 - PyYAML has no types
    """Refuse a key that is twice in its object, and one that is not a text.

    This is before the values are made, since merging changes the nodes.
    """
    seen: set[int] = set()
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            _check_mapping(node)
            nodes += [value for _, value in reversed(cast("list[tuple[Any, Any]]", node.value))]
        elif isinstance(node, yaml.SequenceNode):
            nodes += reversed(cast("list[Any]", node.value))


def _check_mapping(node: Any) -> None:  # noqa: ANN401 - PyYAML has no types
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            msg = "a key is not a text"
            raise _mistake(msg, key)
        name = str(cast("Any", key).value)
        if name in lines:
            msg = f"the key {name} is there already, in line {lines[name]}"
            raise _mistake(msg, key)
        lines[name] = cast("Any", key).start_mark.line + 1


def _values(root: object) -> Iterator[tuple[str, object, int]]:
    """Yield every value with its path and its level, the outer ones first."""
    waiting: list[tuple[str, object, int]] = [("", root, 0)]
    while waiting:
        path, value, depth = waiting.pop()
        yield path, value, depth
        inner: list[tuple[str, object]] = []
        if isinstance(value, dict):
            named = cast("dict[object, object]", value).items()
            inner = [(f"{path}.{key}" if path else str(key), entry) for key, entry in named]
        elif isinstance(value, list):
            listed = enumerate(cast("list[object]", value))
            inner = [(f"{path}[{index}]", entry) for index, entry in listed]
        waiting += [(place, entry, depth + 1) for place, entry in reversed(inner)]


def _value_problem(path: str, value: object) -> Problem | None:
    if is_object(value):
        odd = [key for key in cast("dict[object, object]", value) if not _is_text(key)]
        return _odd_key(path, odd[0]) if odd else None
    if isinstance(value, str):
        fits = _is_text(value)
    elif isinstance(value, float):
        fits = math.isfinite(value)
    elif isinstance(value, int):
        fits = -_MAX_NUMBER <= value < _MAX_NUMBER
    else:
        fits = value is None or isinstance(value, list)
    if fits:
        return None
    return Problem(
        path=path,
        given=f"a {type(cast('object', value)).__name__}",
        valid="valid: a text, a number of 64 bits, true, false, a list or an object",
        advice="write the value in quotes",
    )


def _odd_key(path: str, key: object) -> Problem:
    return Problem(
        path=path,
        given=f"the key {ascii(key)[:80]}",
        valid="valid: keys that are texts",
        advice="write the key in quotes",
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not _UNUSABLE.search(value)
