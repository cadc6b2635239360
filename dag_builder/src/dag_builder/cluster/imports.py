"""The modules that the code of DAG files imports, in their functions too."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

#: What a program catches that works without a module.
_CAUGHT = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


@dataclass(frozen=True, kw_only=True)
class Import:
    """An import of a module, or of a name in it: ``package.module.name``."""

    path: str
    file: str
    line: int
    column: int = 0


def imports_of(file: Path, elsewhere: Collection[int]) -> Iterator[Import]:
    """Find the imports of a Python file.

    Those for type checkers, those that may fail, and those of functions that run in another
    interpreter (`elsewhere` has their first lines) are left out.
    """
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return
    for node in _reached(tree, elsewhere):
        if isinstance(node, ast.Import):
            paths = [alias.name for alias in node.names]
        else:
            start = _start(node, file)
            paths = [f"{start}.{alias.name}".strip(".") for alias in node.names]
        for path in paths:
            yield Import(path=path, file=str(file), line=node.lineno, column=node.col_offset + 1)


def _start(node: ast.ImportFrom, file: Path) -> str:
    """The module that names are imported from; of a relative import, from its top package on."""
    if not node.level:
        return node.module or ""
    folder = file.parents[node.level - 1]
    names = [node.module or ""]
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    return ".".join(names).strip(".")


def _reached(node: ast.AST, elsewhere: Collection[int]) -> Iterator[ast.Import | ast.ImportFrom]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
        return
    children = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        if first in elsewhere:
            return
    elif isinstance(node, ast.If) and _is_for_type_checkers(node.test):
        children = [*node.orelse]
    elif isinstance(node, ast.Try) and any(_catches(one) for one in node.handlers):
        children = [*node.handlers, *node.orelse, *node.finalbody]
    for child in children:
        yield from _reached(child, elsewhere)


def _is_for_type_checkers(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def _catches(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    return any(isinstance(node, ast.Name) and node.id in _CAUGHT for node in ast.walk(handler.type))
