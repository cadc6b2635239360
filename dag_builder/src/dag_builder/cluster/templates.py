"""The variables and connections that Jinja templates name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import TemplateSyntaxError, meta, nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2 import Environment

    from dag_builder.cluster.description import Kind

#: ``{{ var.value.NAME }}`` and ``{{ var.json.NAME }}``.
_VARIABLES = ("value", "json")


def names_in(text: str, environment: Environment) -> Iterator[tuple[Kind, str]]:
    """Find the literal names of variables and connections in a template.

    A lookup with a default value needs nothing. A template that is not valid is the task's problem.
    """
    if "var" not in text and "conn" not in text:
        return
    try:
        tree = environment.parse(text)
    except TemplateSyntaxError:
        return
    # A name that the template itself sets is another thing.
    free = meta.find_undeclared_variables(tree)
    for node in tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Call)):
        found = _variable(node, free) or _connection(node, free)
        if found is not None:
            yield found


def _variable(node: nodes.Node, free: set[str]) -> tuple[Kind, str] | None:
    """``var.value.NAME``, ``var.value["NAME"]`` or ``var.value.get("NAME")``."""
    for kind in _VARIABLES:
        name = _member(node, ("var", kind), free)
        if name is not None and name != "get":
            return "variable", name
        if isinstance(node, nodes.Call) and _member(node.node, ("var", kind), free) == "get":
            only = node.args[0] if len(node.args) == 1 and not node.kwargs else None
            text = _text(only)
            return None if text is None else ("variable", text)
    return None


def _connection(node: nodes.Node, free: set[str]) -> tuple[Kind, str] | None:
    """``conn.NAME`` or ``conn["NAME"]``; ``conn.get("NAME")`` is none if it is missing."""
    name = _member(node, ("conn",), free)
    return None if name is None or name == "get" else ("connection", name)


def _member(node: nodes.Node, owner: tuple[str, ...], free: set[str]) -> str | None:
    """Return NAME if a node is ``a.b.NAME`` or ``a.b["NAME"]`` and the owner is ``("a", "b")``."""
    if not isinstance(node, nodes.Getattr | nodes.Getitem):
        return None
    *outer, last = owner
    if outer:
        is_owned = _member(node.node, tuple(outer), free) == last
    else:
        is_owned = isinstance(node.node, nodes.Name) and node.node.name == last and last in free
    if not is_owned:
        return None
    if isinstance(node, nodes.Getattr):
        return node.attr
    return _text(node.arg)


def _text(node: nodes.Node | None) -> str | None:
    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, str) else None
