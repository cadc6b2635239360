"""Python code as a tree, and its text in the style of black: 88 columns, one item a line."""

from __future__ import annotations

import keyword
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WIDTH = 88
INDENT = 4


@dataclass(frozen=True, kw_only=True)
class Brackets:
    """Items in brackets after a text: a call's arguments, the items of a list, ….

    `before` may have brackets of its own, as in ``task(retries=2)(extract)``. An item is its code
    and what is before it, such as ``name=``.
    """

    before: Code = ""
    opening: str
    items: tuple[tuple[str, Code], ...]
    closing: str
    #: Whether a single item has a comma after it, as in a tuple.
    comma_after_one: bool = False


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Codes one after the other: ``a & b``, ``start.output["key"]``."""

    parts: tuple[Code, ...]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Operands with one operator between them: ``a >> b >> c``."""

    operator: str
    operands: tuple[Code, ...]


Code = str | Brackets | Joined | Operation


def call(name: Code, args: Iterable[Code] = (), kwargs: Mapping[str, Code] | None = None) -> Code:
    """Return a call. Arguments whose names are not identifiers are passed as a mapping."""
    given = kwargs or {}
    items: list[tuple[str, Code]] = [("", arg) for arg in args]
    items += [(f"{key}=", value) for key, value in given.items() if is_name(key)]
    others = [(text(key), value) for key, value in given.items() if not is_name(key)]
    if others:
        items.append(("**", mapping(others)))
    return Brackets(before=name, opening="(", items=tuple(items), closing=")")


def sequence(opening: str, items: Iterable[Code], closing: str) -> Code:
    """Return a list, set or tuple."""
    return Brackets(
        opening=opening,
        items=tuple(("", item) for item in items),
        closing=closing,
        comma_after_one=opening == "(",
    )


def mapping(items: Iterable[tuple[Code, Code]]) -> Code:
    """Return a dictionary."""
    pairs = ((Joined(parts=(key, ": ")), value) for key, value in items)
    return Brackets(
        opening="{", items=tuple((flat(before), value) for before, value in pairs), closing="}"
    )


def attribute(code: Code, name: str) -> Code:
    """Return an attribute of what a code gives."""
    return Joined(parts=(code, f".{name}"))


def is_name(name: object) -> bool:
    """Return whether this can be the name of a variable or of an argument."""
    return isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)


def text(value: str) -> str:
    """Return the code of a text: with double quotes, and three of them if it has several lines."""
    if "\n" in value.strip("\n") and (written := _of_lines(value)):
        return written
    written = repr(str(value))
    if written[0] == '"' or value.count('"') > value.count("'"):
        return written
    inner = written[1:-1].replace("\\'", "'").replace('"', '\\"')
    return f'"{inner}"'


def _of_lines(value: str) -> str:
    """Return text of several lines as such, or nothing if it has what an editor may change."""
    lines = value.split("\n")
    printable = all(line.isprintable() and line == line.rstrip() for line in lines[:-1])
    last_is_printable = lines[-1].isprintable()
    if not printable or not last_is_printable or "\\" in value or '"""' in value:
        return ""
    if value.endswith('"'):
        return ""
    return f'"""{value}"""'


def flat(code: Code) -> str:
    """Return the code in one line (in more if a text in it has more)."""
    if isinstance(code, str):
        return code
    if isinstance(code, Joined):
        return "".join(flat(part) for part in code.parts)
    if isinstance(code, Operation):
        return f" {code.operator} ".join(flat(operand) for operand in code.operands)
    inside = ", ".join(f"{before}{flat(item)}" for before, item in code.items)
    comma = "," if code.comma_after_one and len(code.items) == 1 else ""
    return f"{flat(code.before)}{code.opening}{inside}{comma}{code.closing}"


def lines(code: Code, *, before: str = "", after: str = "", indent: int = 0) -> list[str]:
    """Return the lines of a statement: the code, and what is before and after it."""
    chain = None if _fits(code, before, after, indent) else _links(code)
    if chain is None:
        return _written(code, before, after, indent).split("\n")
    margin, inner = " " * indent, indent + INDENT
    links = [f"{' ' * inner}{_exploded_if_long(link, inner)}" for link in chain]
    return "\n".join([f"{margin}{before}(", *links, f"{margin}){after}"]).split("\n")


def _fits(code: Code, before: str, after: str, indent: int) -> bool:
    one = f"{' ' * indent}{before}{flat(code)}{after}"
    return "\n" not in one and len(one) <= WIDTH


def _written(code: Code, before: str, after: str, indent: int) -> str:
    margin = " " * indent
    if _fits(code, before, after, indent) or isinstance(code, str):
        return f"{margin}{before}{flat(code)}{after}"
    chain = _links(code)
    if chain is not None:
        links = [_exploded_if_long(link, indent) for link in chain]
        return f"{margin}{before}{f'{chr(10)}{margin}'.join(links)}{after}"
    return f"{margin}{before}{_exploded(code, indent)}{after}"


def _links(code: Code) -> list[Code] | None:
    """Return the parts that a long line has on lines of their own: operands, or calls of a chain.

    A chain is ``a.b()``, ``.c()``, ``.d()``; it has two dots after calls.
    """
    if isinstance(code, Operation):
        first, *others = code.operands
        return [first, *(Joined(parts=(f"{code.operator} ", operand)) for operand in others)]
    calls: list[Code] = []
    rest: Code = code
    while isinstance(rest, Brackets) and isinstance(rest.before, Joined):
        method = rest.before
        called, dotted = method.parts[0], method.parts[1:]
        if not isinstance(called, Brackets):
            break
        calls.insert(0, replace(rest, before="".join(flat(part) for part in dotted)))
        rest = called
    return [rest, *calls] if len(calls) > 1 else None


def _exploded_if_long(code: Code, indent: int) -> str:
    return flat(code) if _fits(code, "", "", indent) else _exploded(code, indent)


def _exploded(code: Code, indent: int) -> str:
    """Return the code with the items of its longest brackets one a line."""
    if isinstance(code, str):
        return code
    if isinstance(code, Joined | Operation):
        parts = code.parts if isinstance(code, Joined) else (flat(code),)
        longest = max(parts, key=_weight)
        return "".join(_exploded(p, indent) if p is longest else flat(p) for p in parts)
    own = sum(len(before) + len(flat(item)) for before, item in code.items)
    if _weight(code.before) > own:
        return f"{_exploded(code.before, indent)}{flat(replace(code, before=''))}"
    inner = [f"{_written(item, before, ',', indent + INDENT)}\n" for before, item in code.items]
    return f"{flat(code.before)}{code.opening}\n{''.join(inner)}{' ' * indent}{code.closing}"


def _weight(code: Code) -> int:
    """Return how long what is in brackets is."""
    if isinstance(code, str):
        return 0
    if isinstance(code, Joined | Operation):
        parts = code.parts if isinstance(code, Joined) else code.operands
        return max((_weight(part) for part in parts), default=0)
    own = sum(len(before) + len(flat(item)) for before, item in code.items)
    return max(own, _weight(code.before))
