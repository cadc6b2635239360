"""Which dependencies of a plan a DAG file must name, and the statements that do."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dag_builder.eject.code import Code, Operation, call, sequence, text
from dag_builder.plan import DagPlan, GroupPlan, Link, Node, TaskPlan, is_group, makes_group
from dag_builder.references import Argument, Output, references_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from dag_builder.eject.names import Names

#: The arguments of any task in which Airflow finds outputs, beside its template fields.
_ALWAYS = frozenset({"inlets", "outlets", "params"})


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A dependency between two nodes that the file must name."""

    upstream: Node
    downstream: Node
    label: str = ""


def parent_of(node: Node) -> GroupPlan | None:
    """Return the group around a task or group."""
    return node.group if isinstance(node, TaskPlan) else node.parent


def around(node: Node) -> list[GroupPlan]:
    """Return the groups around a node, the nearest first and the DAG last."""
    found: list[GroupPlan] = []
    group = parent_of(node)
    while group is not None:
        found.append(group)
        group = group.parent
    return found


def block_of(one: Node, other: Node) -> GroupPlan:
    """Return the innermost group that two nodes are in."""
    groups = around(other)
    return next(group for group in around(one) if group in groups)


def references_of(node: Node) -> list[Output | Argument]:
    """Return the outputs and mapped arguments that a node uses."""
    given: list[Any] = [node.expand, node.expand_kwargs]
    if isinstance(node, TaskPlan):
        given += [node.kwargs, node.arguments]
    return [reference for reference, _ in references_in(given)]


def _follows_by_itself(node: Node) -> list[Output]:
    """Return the outputs whose tasks Airflow itself puts before a node."""
    given: list[Any] = [node.expand, node.expand_kwargs]
    if isinstance(node, TaskPlan) and node.signature is not None:
        fields = {*node.signature.operator.template_fields, *_ALWAYS}
        given += [node.arguments, *(v for k, v in node.kwargs.items() if k in fields)]
    return [one for one, _ in references_in(given) if isinstance(one, Output)]


def edges_of(plan: DagPlan, find: Callable[[Output, Node], TaskPlan]) -> list[Edge]:
    """Return the dependencies that no value implies, each once, in the order of the plan."""
    nodes: list[Node] = [*plan.tasks.values(), *plan.groups.values()]
    implied = {
        (task.id, node.id)
        for node in nodes
        for task in (find(output, node) for output in _follows_by_itself(node))
        if not makes_group(task)
    }
    labels: dict[tuple[str, str], str] = {}
    found: dict[tuple[str, str], Link] = {}
    for link in plan.links:
        if link.of_value and (makes_group(link.upstream) or makes_group(link.downstream)):
            continue  # the tasks that use the value follow the one that returned it
        key = link.upstream.id, link.downstream.id
        found.setdefault(key, link)
        labels[key] = link.label or labels.get(key, "")
    return [
        Edge(upstream=link.upstream, downstream=link.downstream, label=labels[key])
        for key, link in found.items()
        if key not in implied or labels[key]
    ]


def is_setup_of(edge: Edge) -> bool:
    """Return whether the edge is from a set-up to its tear-down in the same group."""
    up, down = edge.upstream, edge.downstream
    if not (isinstance(up, TaskPlan) and isinstance(down, TaskPlan)):
        return False
    return isinstance(down.teardown, list) and up.id in down.teardown and up.group is down.group


def statements(
    edges: Sequence[Edge], name_of: Callable[[Node], str], names: Names
) -> Iterator[Code]:
    """Write the edges of one block: those of tasks first, then those of groups.

    What is first and last in a group, and so is joined by an edge of the group, is known only
    when the edges in it are made.
    """
    for of_group in (False, True):
        some = [edge for edge in edges if _is_of_group(edge) is of_group]
        for chain in _chains(_fans(edge for edge in some if not edge.label)):
            yield _written(chain, name_of, names)
        for edge in some:
            if edge.label:
                yield _labelled(edge, name_of, names)


def _is_of_group(edge: Edge) -> bool:
    return is_group(edge.upstream) or is_group(edge.downstream)


def _labelled(edge: Edge, name_of: Callable[[Node], str], names: Names) -> Code:
    """``a >> Label("x") >> b``, which joins the groups of nodes that are in different ones."""
    label = call(names.imported("airflow.sdk", "Label"), [text(edge.label)])
    upstream, downstream = name_of(edge.upstream), name_of(edge.downstream)
    if parent_of(edge.upstream) is parent_of(edge.downstream):
        return Operation(operator=">>", operands=(upstream, label, downstream))
    return call(f"{upstream}.set_downstream", [downstream], {"edge_modifier": label})


Fan = tuple[Node, ...]


def _fans(edges: Iterable[Edge]) -> list[tuple[Fan, Fan]]:
    """Join the edges of which all sources lead to all targets."""
    targets: dict[str, list[Node]] = {}
    sources: dict[str, Node] = {}
    for edge in edges:
        sources[edge.upstream.id] = edge.upstream
        targets.setdefault(edge.upstream.id, []).append(edge.downstream)
    joined: dict[tuple[str, ...], tuple[list[Node], Fan]] = {}
    for name, downstream in targets.items():
        key = tuple(sorted(node.id for node in downstream))
        joined.setdefault(key, ([], tuple(downstream)))[0].append(sources[name])
    return [(tuple(upstream), downstream) for upstream, downstream in joined.values()]


def _chains(steps: list[tuple[Fan, Fan]]) -> list[list[Fan]]:
    """Join steps in which one begins with what another ends with."""
    left = {_key(upstream): (upstream, downstream) for upstream, downstream in steps}
    ends = {_key(downstream) for _, downstream in steps}
    chains: list[list[Fan]] = []
    starts = [key for key in left if key not in ends]
    for start in [*starts, *left]:
        if start not in left:
            continue
        upstream, downstream = left.pop(start)
        chain = [upstream, downstream]
        while _key(chain[-1]) in left:
            chain.append(left.pop(_key(chain[-1]))[1])
        chains.append(chain)
    return chains


def _key(fan: Fan) -> frozenset[str]:
    return frozenset(node.id for node in fan)


def _written(chain: list[Fan], name_of: Callable[[Node], str], names: Names) -> Code:
    codes = [_fan(fan, name_of) for fan in chain]
    if any(len(one) > 1 and len(other) > 1 for one, other in itertools.pairwise(chain)):
        return call(names.imported("airflow.sdk", "chain_linear"), codes)
    return Operation(operator=">>", operands=tuple(codes))


def _fan(fan: Fan, name_of: Callable[[Node], str]) -> Code:
    if len(fan) == 1:
        return name_of(fan[0])
    return sequence("[", [name_of(node) for node in fan], "]")
