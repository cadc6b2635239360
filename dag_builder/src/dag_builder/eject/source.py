"""Rewrites a Python file: plain Airflow code in the place of the calls that build its DAGs."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dag_builder
from dag_builder import builder
from dag_builder.eject.blocks import Blocks, blocks, joined
from dag_builder.eject.names import Names, from_statement, is_standard, statements
from dag_builder.eject.refusal import EjectError, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dag_builder.make.plans import Built

_PACKAGE = "dag_builder"
_BUILDERS = ("build_dag", "build_dags", "build_yaml")
#: Calls whose only effect is on the builder.
_SETTINGS = ("register_operator",)
_SCALARS = (str, int, float, bool, bytes, type(None))


def rewritten(source: str, built: Sequence[Built], dag_id: str | None) -> str:
    """Return the source of a file that builds DAGs, without dag_builder. Raises EjectError.

    With `dag_id`, only that DAG is written, and the calls that build the others are left out.
    """
    tree = ast.parse(source)
    module = built[0].module
    calls: dict[int, _Call] = {}
    for one in built:
        statement = _statement_at(tree, one)
        calls.setdefault(statement.lineno, _Call(statement=statement)).built.append(one)
    for statement in tree.body:
        if statement.lineno not in calls and _is_build(statement, module):
            calls[statement.lineno] = _Call(statement=statement)
    for call in calls.values():
        if not _is_build(call.statement, module):
            reason = (
                f"line {call.statement.lineno}: the DAG is built inside of another statement. "
                "Call build_dag at the top level of the file, or in a loop that does nothing else"
            )
            refuse(reason, (call.built[0].dag.dag_id,))
        call.built = [one for one in call.built if dag_id in (None, one.dag.dag_id)]
    removed = [call.statement for call in calls.values()]
    used = {name for statement in removed for name in _loaded(statement)}
    assigned = {name for statement in removed for name in _stored(statement)}
    names = _names_of(module, assigned)
    texts = {
        id(module[name]): name
        for name in sorted(used - assigned)
        if isinstance(module.get(name), str)
    }
    editor = _Editor(lines=source.split("\n"))
    ordered = [calls[line] for line in sorted(calls)]
    every = [one for call in ordered for one in call.built]
    found = blocks(every, names, texts, _variables(ordered))
    _replace(editor, ordered, found)
    text = "\n".join(editor.lines)
    text = _with_imports(text, names.imports)
    text = _without_unused(text, used | _imported_from_builder(tree))
    _refuse_builder(text)
    return text.strip("\n") + "\n"


@dataclass(kw_only=True)
class _Call:
    """A statement that builds DAGs."""

    statement: ast.stmt
    built: list[Built] = field(default_factory=list["Built"])


def _variables(calls: Sequence[_Call]) -> dict[str, str]:
    """Return the variables of DAGs, as in ``sales = build_dag(…)``, by the DAGs' ids."""
    found: dict[str, str] = {}
    for call in calls:
        match call.statement:
            case ast.Assign(targets=[ast.Name(id=name)]) if len(call.built) == 1:
                found[call.built[0].dag.dag_id] = name
            case _:
                pass
    return found


def _statement_at(tree: ast.Module, one: Built) -> ast.stmt:
    for statement in tree.body:
        if statement.lineno <= one.line <= (statement.end_lineno or statement.lineno):
            return statement
    reason = f"line {one.line} of {one.file} has no statement"
    raise EjectError(reason, (one.dag.dag_id,))


def _is_build(statement: ast.stmt, module: Mapping[str, Any]) -> bool:
    """Return whether a statement only builds DAGs."""
    if isinstance(statement, ast.For):
        return not statement.orelse and all(_is_build(one, module) for one in statement.body)
    if isinstance(statement, ast.Assign):
        names = statement.targets
        one_name = len(names) == 1 and isinstance(names[0], ast.Name)
        return one_name and _is_call_of(statement.value, _BUILDERS, module)
    return isinstance(statement, ast.Expr) and _is_call_of(statement.value, _BUILDERS, module)


def _is_call_of(node: ast.expr, names: Sequence[str], module: Mapping[str, Any]) -> bool:
    if not isinstance(node, ast.Call):
        return False
    match node.func:
        case ast.Name(id=name):
            called = module.get(name)
            return any(called is getattr(dag_builder, one) for one in names)
        case ast.Attribute(value=ast.Name(id=package), attr=name):
            return module.get(package) in {dag_builder, builder} and name in names
        case _:
            return False


def _loaded(node: ast.AST) -> set[str]:
    names = (one for one in ast.walk(node) if isinstance(one, ast.Name))
    return {one.id for one in names if isinstance(one.ctx, ast.Load)}


def _stored(node: ast.AST) -> set[str]:
    names = (one for one in ast.walk(node) if isinstance(one, ast.Name))
    return {one.id for one in names if isinstance(one.ctx, ast.Store)}


def _names_of(module: Mapping[str, Any], assigned: set[str]) -> Names:
    """Return the names that a file has already."""
    known: dict[int, str] = {}
    for name, value in module.items():
        if name.startswith("__") or name in assigned or not name.isidentifier():
            continue
        if not isinstance(value, _SCALARS):
            known.setdefault(id(value), name)
    own = str(module.get("__name__", ""))
    return Names(known=known, taken=module.keys() - assigned, own_module=own)


# The text


@dataclass(kw_only=True)
class _Editor:
    """The lines of a file, which are replaced from its end to its start."""

    lines: list[str]

    def replace(self, first: int, last: int, new: Sequence[str]) -> None:
        """Replace lines, which count from 1. Without new ones, the right blank lines stay."""
        self.lines[first - 1 : last] = new
        if new:
            return
        start = end = first - 1
        while start and not self.lines[start - 1].strip():
            start -= 1
        while end < len(self.lines) and not self.lines[end].strip():
            end += 1
        at_an_end = start == 0 or end == len(self.lines)
        blank = 0 if at_an_end else 2 if self._is_by_function(start, end) else 1
        self.lines[start:end] = [""] * blank

    def _is_by_function(self, start: int, end: int) -> bool:
        """Return whether a function or class ends before line `start`, or starts at line `end`."""
        words = ("def ", "async def ", "class ", "@")
        if self.lines[end].startswith(words):
            return True
        before = next((line for line in self.lines[start - 1 :: -1] if line[:1].strip(" )]}")), "")
        return before.startswith(words) and self.lines[start - 1][:1] == " "

    def comment_above(self, first: int) -> int:
        """Return the first line of the comment directly above a line."""
        while first > 1 and self.lines[first - 2].startswith("#"):
            first -= 1
        return first


def _replace(editor: _Editor, calls: Sequence[_Call], found: Blocks) -> None:
    """Put each call's DAGs in its place, the shared assets before the first of them."""
    left = list(found.dags)
    new: list[list[str]] = []
    for call in calls:
        mine = [left.pop(0) for _ in call.built]
        new.append(joined(Blocks(assets=[], dags=mine)))
    with_dags = next((index for index, lines in enumerate(new) if lines), None)
    if found.assets and with_dags is not None:
        new[with_dags] = [*found.assets, "", *new[with_dags]]
    for call, lines in reversed(list(zip(calls, new, strict=True))):
        last = call.statement.end_lineno or call.statement.lineno
        follows = editor.lines[last : last + 1] not in ([], [""])
        above = editor.lines[call.statement.lineno - 2 : call.statement.lineno - 1]
        apart = above != [""] and not "".join(above).startswith("#")
        around = [*([""] if apart else []), *lines, *([""] if follows else [])]
        editor.replace(call.statement.lineno, last, around if lines else [])


def _with_imports(text: str, imports: Mapping[tuple[str, str], str]) -> str:
    """Add import statements at the places where isort has them."""
    left = dict(imports)
    for (module, name), used_as in imports.items():
        joined_text = _joined_import(text, module, name, used_as) if name else None
        if joined_text is not None:
            text = joined_text
            del left[module, name]
    for statement, standard in statements(left):
        text = _with_statement(text, statement, standard=standard)
    return text


def _head(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """Return the imports at the head of a file."""
    for index, statement in enumerate(tree.body):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield statement
        elif index or not isinstance(statement, ast.Expr):
            return


def _joined_import(text: str, module: str, name: str, used_as: str) -> str | None:
    """Add a name to a statement that imports from its module, if there is one without comments."""
    editor = _Editor(lines=text.split("\n"))
    for one in _head(ast.parse(text)):
        last = one.end_lineno or one.lineno
        lines = editor.lines[one.lineno - 1 : last]
        if isinstance(one, ast.ImportFrom) and one.module == module and not one.level:
            if any("#" in line for line in lines):
                continue
            names = [(alias.name, alias.asname or alias.name) for alias in one.names]
            new = from_statement(module, [*names, (name, used_as)])
            editor.replace(one.lineno, last, new.split("\n"))
            return "\n".join(editor.lines)
    return None


def _with_statement(text: str, statement: str, *, standard: bool) -> str:
    editor = _Editor(lines=text.split("\n"))
    new = statement.split("\n")
    head = [one for one in _head(ast.parse(text)) if not _is_future(one)]
    mine = [one for one in head if is_standard(_text_of(one)) is standard]
    key = _import_key(statement)
    after = next((one for one in mine if _import_key(_text_of(one)) > key), None)
    if after is not None:
        first = editor.comment_above(after.lineno)
        editor.lines[first - 1 : first - 1] = new
    elif mine:
        last = mine[-1].end_lineno or 0
        editor.lines[last:last] = new
    elif standard:
        first = editor.comment_above(head[0].lineno)
        editor.lines[first - 1 : first - 1] = [*new, ""]
    else:
        last = head[-1].end_lineno or 0
        editor.lines[last:last] = ["", *new]
    return "\n".join(editor.lines)


def _is_future(one: ast.Import | ast.ImportFrom) -> bool:
    return isinstance(one, ast.ImportFrom) and one.module == "__future__"


def _text_of(one: ast.Import | ast.ImportFrom) -> str:
    if isinstance(one, ast.ImportFrom):
        return f"from {'.' * one.level}{one.module or ''} import x"
    return f"import {one.names[0].name}"


def _import_key(statement: str) -> tuple[bool, str]:
    """``import`` before ``from``, each by the module's name."""
    words = statement.split()
    return words[0] == "from", words[1].lower()


# What nothing uses any more


def _imported_from_builder(tree: ast.Module) -> set[str]:
    imports = (node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))
    return {
        (alias.asname or alias.name).split(".")[0]
        for node in imports
        if _is_of_builder(node)
        for alias in node.names
    }


def _is_of_builder(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] == _PACKAGE
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] == _PACKAGE for alias in node.names)
    return False


def _without_unused(text: str, candidates: set[str]) -> str:
    """Remove what only the calls used that build the DAGs: imports, constants and functions."""
    left = set(candidates)
    while True:
        tree = ast.parse(text)
        for statement in tree.body:
            settings = _is_setting(statement, tree)
            gone = [name for name in _defined(statement) if name in left]
            gone = [name for name in gone if not _is_used(name, tree, statement)]
            if settings or gone:
                left |= _loaded(statement)
                text = _without(text, statement, gone)
                break
        else:
            return text


def _is_setting(statement: ast.stmt, tree: ast.Module) -> bool:
    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)):
        return False
    function = statement.value.func
    names = _imported_from_builder(tree)
    return isinstance(function, ast.Name) and function.id in names and function.id in _SETTINGS


def _defined(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.Import() | ast.ImportFrom():
            return [(alias.asname or alias.name).split(".")[0] for alias in statement.names]
        case ast.FunctionDef():
            return [statement.name]
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case _:
            return []


def _is_used(name: str, tree: ast.Module, definition: ast.stmt) -> bool:
    """Return whether anything but its own definition uses a name."""
    for statement in tree.body:
        if statement is definition:
            continue
        if name in _loaded(statement):
            return True
        if _defined(statement) == ["__all__"] and any(
            isinstance(node, ast.Constant) and node.value == name for node in ast.walk(statement)
        ):
            return True
    return False


def _without(text: str, statement: ast.stmt, names: Sequence[str]) -> str:
    """Remove a statement, or these names from an import of more; and the comment above it."""
    editor = _Editor(lines=text.split("\n"))
    last = statement.end_lineno or statement.lineno
    if isinstance(statement, ast.Import | ast.ImportFrom):
        kept = [a for a in statement.names if (a.asname or a.name).split(".")[0] not in names]
        if kept and isinstance(statement, ast.ImportFrom):
            module = "." * statement.level + (statement.module or "")
            shown = [(alias.name, alias.asname or alias.name) for alias in kept]
            editor.replace(statement.lineno, last, from_statement(module, shown).split("\n"))
            return "\n".join(editor.lines)
    first = statement.lineno
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    first = min([first, *(one.lineno for one in decorators)])
    follows = last < len(editor.lines) and editor.lines[last][:1] not in {"", "#"}
    is_import = isinstance(statement, ast.Import | ast.ImportFrom)
    if not follows or is_import:
        first = editor.comment_above(first)
    editor.replace(first, last, [])
    return "\n".join(editor.lines)


def _refuse_builder(text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if _is_of_builder(node):
            line = ast.unparse(node)
            reason = (
                f"the file still uses dag_builder, apart from the calls that build DAGs: {line}"
            )
            refuse(reason)
