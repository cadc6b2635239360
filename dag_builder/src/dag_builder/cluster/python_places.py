"""Finds where a Python DAG file names something, as far as its text shows it."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dag_builder.errors import Position

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, kw_only=True)
class _Argument:
    """A value that is given by name; `owners` are the names of what it is in."""

    name: str
    value: ast.expr
    owners: frozenset[str]


def place_of(file: str, argument: str, text: str, task: str) -> Position | None:
    """Return where a file gives a task's argument, or an argument with this text in it.

    Dictionaries, calls with a `task_id` and decorated functions show which task an argument is for.
    """
    scored: list[tuple[int, ast.expr]] = []
    for one in _arguments(file).get(argument, ()):
        named = _constant_with(text, one.value) if text else None
        score = 2 * (task in one.owners) + (named is not None)
        scored.append((score, named or one.value))
    score, best = max(scored, key=lambda pair: pair[0], default=(0, None))
    if best is None or not score:
        return None
    return Position(file=file, line=best.lineno, column=best.col_offset + 1)


def _constant_with(text: str, value: ast.expr) -> ast.expr | None:
    constants = (node for node in ast.walk(value) if isinstance(node, ast.Constant))
    return next((node for node in constants if text in str(node.value)), None)


@functools.lru_cache(maxsize=64)
def _arguments(file: str) -> Mapping[str, list[_Argument]]:
    try:
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[str, list[_Argument]] = {}
    for one in _within(tree, frozenset()):
        found.setdefault(one.name, []).append(one)
    return found


def _within(node: ast.AST, owners: frozenset[str]) -> Iterator[_Argument]:
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            yield from _given(_text(key), value, owners)
        return
    if isinstance(node, ast.Call):
        owners |= {_text(one.value) for one in node.keywords if one.arg == "task_id"} - {""}
        owners |= {_first_name(node.func)}
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        owners |= {node.name}
    elif isinstance(node, ast.keyword):
        yield from _given(node.arg or "", node.value, owners)
        return
    for child in ast.iter_child_nodes(node):
        yield from _within(child, owners)


def _given(name: str, value: ast.expr, owners: frozenset[str]) -> Iterator[_Argument]:
    if name:
        yield _Argument(name=name, value=value, owners=owners)
    yield from _within(value, owners | {name} if name else owners)


def _text(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _first_name(node: ast.expr) -> str:
    """``load`` of ``load.override(...).expand``."""
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return node.id if isinstance(node, ast.Name) else ""
