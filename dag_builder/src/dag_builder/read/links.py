"""Which task comes before which: names become nodes, and a cycle is shown as a cycle."""

from __future__ import annotations

import graphlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from dag_builder.errors import Path, Problems, closest, listed
from dag_builder.plan import DagPlan, GroupPlan, Link, Node, TaskPlan, is_group
from dag_builder.read.functions import fill_function
from dag_builder.references import ABSOLUTE, Argument, Output

#: More circles than this are counted and not described.
MAX_CIRCLES = 20
_MAX_NAMES_IN_CIRCLE = 24
Reference = tuple[Node, str, Any, Path]
#: Chains as given, the group whose names they use, and its path.
Chains = tuple[Any, GroupPlan, Path]


def connect(
    plan: DagPlan, problems: Problems, references: Iterable[Reference], chains: Iterable[Chains]
) -> None:
    """Resolve every name into `plan.links`, fill functions from upstream, and refuse cycles."""
    linker = Linker(plan, problems)
    for node, kind, value, path in references:
        linker.reference(node, kind, value, path)
    for given, group, path in chains:
        if given is not None:
            linker.chains(given, group, (*path, "chains"))
    linker.fill_functions()
    for number, (names, path) in enumerate(cycles(plan)):
        if number == MAX_CIRCLES:  # finding each costs a walk over the whole graph
            problems.add(path, f"there are more than {MAX_CIRCLES} cycles of tasks")
            break
        problems.add(
            path,
            f"the tasks depend on each other in a cycle: {_joined(names)}",
            hint="remove one of these dependencies",
        )


def _joined(names: list[str]) -> str:
    if len(names) <= _MAX_NAMES_IN_CIRCLE:
        return " → ".join(names)
    half = _MAX_NAMES_IN_CIRCLE // 2
    left_out = len(names) - 2 * half
    return " → ".join([*names[:half], f"… {left_out} more …", *names[-half:]])


@dataclass
class Linker:
    """Makes links of the names in one plan."""

    plan: DagPlan
    problems: Problems
    _names_by_scope: dict[str, list[str]] = field(default_factory=dict[str, "list[str]"])

    def reference(self, node: Node, kind: str, value: Any, path: Path) -> None:
        """One ``upstream``, ``downstream``, ``teardown`` or marker of a node."""
        scope = node.group if isinstance(node, TaskPlan) else node.parent or node
        if kind == "$reference":
            self._value_reference(node, scope, value, path)
            return
        single = isinstance(value, str | Mapping)
        if not isinstance(value, str | Mapping | list | tuple):
            self.problems.add(path, "this must be a list of names", given=value)
            return
        items = cast("list[Any]", [value] if single else value)
        for index, item in enumerate(items):
            where = path if single else (*path, index)
            name, label = self._name_and_label(item, where)
            other = self.find(name, scope, where) if name is not None else None
            if other is None:
                continue
            if kind == "teardown" and is_group(other):
                self.problems.add(
                    where,
                    "a set-up is a task, and this is a group",
                    given=name,
                    valid=listed(
                        task.id for task in self.plan.tasks.values() if within(task, other)
                    ),
                )
                continue
            if kind == "downstream":
                self.link(node, other, where, label)
            else:
                self.link(other, node, where, label)
            if kind == "teardown" and isinstance(other, TaskPlan):
                other.setup = True
                cast("TaskPlan", node).teardown = [
                    *(t if isinstance(t := cast("TaskPlan", node).teardown, list) else []),
                    other.id,
                ]

    def _name_and_label(self, item: Any, path: Path) -> tuple[str | None, str]:
        if isinstance(item, str):
            return item, ""
        if isinstance(item, Mapping):
            mapping = cast("Mapping[str, Any]", item)
            if set(mapping) == {"task", "label"} and all(
                isinstance(part, str) for part in mapping.values()
            ):
                return mapping["task"], mapping["label"]
        self.problems.add(
            path,
            "this does not name a task",
            given=cast("object", item),
            valid="a name, or {task: name, label: text}",
        )
        return None, ""

    def _value_reference(
        self, node: Node, scope: GroupPlan, reference: Output | Argument, path: Path
    ) -> None:
        if isinstance(reference, Argument):
            arguments = mapped_arguments(scope)
            if reference.name not in arguments and not maps_anything(scope):
                self.problems.add(
                    path,
                    f"no group around this is expanded over {reference.name!r}",
                    given=reference.name,
                    valid=listed(arguments) or "an argument of a group with 'expand'",
                    suggestion=closest(reference.name, arguments),
                )
            return
        other = self.find(reference.task, scope, path)
        if isinstance(other, GroupPlan):
            self.problems.add(
                path,
                "a group has no output; name one of its tasks",
                given=reference.task,
                valid=listed(task.id for task in self.plan.tasks.values() if within(task, other)),
            )
        elif other is not None:
            self.plan.links.append(Link(upstream=other, downstream=node, path=path, of_value=True))

    def chains(self, given: Any, group: GroupPlan, path: Path) -> None:
        """Lists of names, each upstream of the next; what is next to a fan joins all of it."""
        whole = [given] if isinstance(given, str) else given
        if not isinstance(whole, list):
            self.problems.add(
                path,
                "this is not a chain",
                given=given,
                valid="[a, [b, c], d] or 'a >> [b, c] >> d'",
            )
            return
        items = cast("list[Any]", whole)
        one = any(isinstance(item, str) and ">>" not in item for item in items)
        for index, chain in enumerate([items] if one else items):
            where = path if one or isinstance(given, str) else (*path, index)
            self._chain(_steps(chain), group, where)

    def _chain(self, steps: list[Any], group: GroupPlan, path: Path) -> None:
        before: list[Node] = []
        for index, step in enumerate(steps):
            names = cast("list[Any]", step if isinstance(step, list) else [step])
            nodes: list[Node] = []
            for position, name in enumerate(names):
                where = (*path, index, position) if isinstance(step, list) else (*path, index)
                if not isinstance(name, str):
                    self.problems.add(
                        where, "this does not name a task", given=name, valid="a name"
                    )
                    continue
                node = self.find(name, group, where)
                if node is not None:
                    nodes.append(node)
                    for other in before:
                        self.link(other, node, where)
            before = nodes

    def find(self, name: str, scope: GroupPlan, path: Path) -> Node | None:
        """The node of a name: in the scope, then in what is around it, then by its full id."""
        tasks, groups = self.plan.tasks, self.plan.groups
        around: GroupPlan | None = None if name.startswith(ABSOLUTE) else scope
        found: Node | None = None
        while around is not None and found is None:
            inside = around.child_id(name)
            found = around.children.get(name) or tasks.get(inside) or groups.get(inside)
            around = around.parent
        full = name.removeprefix(ABSOLUTE)
        found = found or tasks.get(full) or groups.get(full)
        if found is None:
            names = self._names(scope)
            self.problems.add_unknown(path, f"there is no task or group {name!r}", name, names)
        return found

    def _names(self, scope: GroupPlan) -> list[str]:
        """Every name that can be used in a group, the nearest first."""
        if scope.id not in self._names_by_scope:
            names = [*scope.children, *self.plan.tasks, *self.plan.groups]
            self._names_by_scope[scope.id] = list(dict.fromkeys(names))
        return self._names_by_scope[scope.id]

    def link(self, upstream: Node, downstream: Node, path: Path, label: str = "") -> None:
        """Add one link to the plan."""
        self.plan.links.append(
            Link(upstream=upstream, downstream=downstream, path=path, label=label)
        )

    def _meant_upstream(self) -> dict[Path, set[str]]:
        """The names that wrong ones in each task's ``upstream`` were probably meant to be."""
        meant: dict[Path, set[str]] = {}
        for problem in self.problems.found:
            if problem.suggestion and "upstream" in problem.path:
                before = problem.path[: problem.path.index("upstream")]
                meant.setdefault(before, set()).add(problem.suggestion)
        return meant

    def fill_functions(self) -> None:
        """Functions get the results of the upstream tasks that their parameters are named after."""
        functions = [task for task in self.plan.tasks.values() if task.function is not None]
        if not functions:
            return
        upstream: dict[int, dict[str, list[str]]] = {}
        for link in self.plan.links:
            if isinstance(link.upstream, TaskPlan) and isinstance(link.downstream, TaskPlan):
                names = upstream.setdefault(id(link.downstream), {})
                ids = names.setdefault(link.upstream.name, [])
                if link.upstream.id not in ids:
                    ids.append(link.upstream.id)
        meant = self._meant_upstream()
        for task in functions:
            named = upstream.get(id(task), {})
            unfilled = fill_function(task, named, mapped_arguments(task.group))
            for name, ids in unfilled.ambiguous.items():
                self._ambiguous(task, name, ids)
            for name in unfilled.missing:
                # If the name in its upstream is wrong, that is the mistake, and it is reported.
                if name not in meant.get(task.path, ()):
                    self._missing(task, name)

    def _ambiguous(self, task: TaskPlan, name: str, ids: Sequence[str]) -> None:
        self.problems.add(
            task.path,
            f"{_function_name(task)}() takes {name!r}, which could be {' or '.join(ids)}",
            valid=f"{{arguments: {{{name}: {{$output: {ids[0]}}}}}}}",
        )

    def _missing(self, task: TaskPlan, name: str) -> None:
        tasks = self.plan.tasks
        there = name in tasks and name != task.id
        near = name if there else self.problems.closest(name, tasks)
        self.problems.add(
            task.path,
            f"{_function_name(task)}() needs {name!r}, which no task or argument provides",
            valid=f"an upstream task of this name, or {{arguments: {{{name}: …}}}}",
            suggestion="" if near in {name, task.id} else near,
            hint=f"add upstream: [{name}]" if there else "",
        )


def _function_name(task: TaskPlan) -> str:
    return getattr(task.function, "__name__", "the function")


def mapped_arguments(group: GroupPlan | None) -> list[str]:
    """The arguments that the groups around are expanded over."""
    names: list[str] = []
    while group is not None:
        names.extend(mapped_arguments_of(group))
        group = group.parent
    return list(dict.fromkeys(names))


def mapped_arguments_of(group: GroupPlan) -> list[str]:
    """The arguments that this group itself is expanded over."""
    names: list[str] = list(group.expand or ())
    sets: Any = group.expand_kwargs
    if isinstance(sets, list):
        for item in cast("list[Any]", sets):
            names.extend(cast("Mapping[str, Any]", item) if isinstance(item, Mapping) else ())
    return names


def gives_argument(group: GroupPlan, name: str) -> bool:
    """Whether this group itself is expanded over an argument of this name, or may be."""
    of_output = group.expand_kwargs is not None and not isinstance(group.expand_kwargs, list)
    return of_output or name in mapped_arguments_of(group)


def maps_anything(group: GroupPlan | None) -> bool:
    """Whether a group around is expanded over sets that are only known when it runs."""
    while group is not None:
        if group.expand_kwargs is not None and not isinstance(group.expand_kwargs, list):
            return True
        group = group.parent
    return False


def within(node: Node, group: Node) -> bool:
    """Whether a node is in a group, at any depth."""
    around = node.group if isinstance(node, TaskPlan) else node.parent
    while around is not None:
        if around is group:
            return True
        around = around.parent
    return False


def _steps(chain: Any) -> list[Any]:
    if not isinstance(chain, str):
        return list(cast("list[Any]", chain)) if isinstance(chain, list | tuple) else [chain]
    steps: list[Any] = []
    for part in chain.split(">>"):
        text = part.strip()
        if text.startswith("[") and text.endswith("]"):
            steps.append([name.strip() for name in text[1:-1].split(",") if name.strip()])
        else:
            steps.append(text)
    return steps


def cycles(plan: DagPlan) -> Iterator[tuple[list[str], Path]]:
    """Every circle of dependencies: its names, the first also at the end, and where it is."""
    order = {id(task): index for index, task in enumerate(plan.tasks.values())}
    if all(
        order.get(id(link.upstream), len(order)) < order.get(id(link.downstream), -1)
        for link in plan.links
    ):
        return
    graph, owner = _graph(plan)
    if not (ring := _ring(graph)):
        return
    ways_back = _ways_back(plan)
    while ring:
        names = [owner[point] for point in ring]
        shown = [name for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
        if len(shown) == 1:
            shown *= 2
        yield shown, _path_of_ring(plan, set(names))
        steps = set(itertools.pairwise(ring))
        for before, after in steps & ways_back or steps:  # others that share a task remain
            graph[after].discard(before)
        ring = _ring(graph)


Point = tuple[str, str]


def _ring(graph: Mapping[Point, set[Point]]) -> list[Point]:
    """The points of a circle, the first also at the end; empty if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return cast("list[Point]", error.args[1])
    return []


def _ways_back(plan: DagPlan) -> set[tuple[Point, Point]]:
    """The dependencies that go back in the dictionary's order, by which most circles close.

    Of a fan that comes together and goes back to its start it is the one way back, and not each of
    the ways forth.
    """
    first: dict[str, int] = {}
    for index, task in enumerate(plan.tasks.values()):
        first[task.id] = index
        around: GroupPlan | None = task.group
        while around is not None:
            first.setdefault(around.id, index)
            around = around.parent
    return {
        (_exit(link.upstream), _entry(link.downstream))
        for link in plan.links
        if first.get(link.upstream.id, 0) >= first.get(link.downstream.id, 0)
    }


def _graph(plan: DagPlan) -> tuple[dict[Point, set[Point]], dict[Point, str]]:
    """What comes before each point. A group is two points: before and after all that is in it."""
    graph: dict[Point, set[Point]] = {}
    owner: dict[Point, str] = {}
    for task in plan.tasks.values():
        graph[("task", task.id)] = set()
        owner[("task", task.id)] = task.id
    for group in plan.groups.values():
        start, end = ("start", group.id), ("end", group.id)
        graph.setdefault(start, set())
        graph.setdefault(end, set()).add(start)
        owner[start] = owner[end] = group.id
    for node in [*plan.tasks.values(), *plan.groups.values()]:
        parent = node.group if isinstance(node, TaskPlan) else node.parent
        if parent is not None and parent.id:
            graph[_entry(node)].add(("start", parent.id))
            graph[("end", parent.id)].add(_exit(node))
    for link in plan.links:
        graph[_entry(link.downstream)].add(_exit(link.upstream))
    return graph, owner


def _entry(node: Node) -> Point:
    return ("task" if isinstance(node, TaskPlan) else "start", node.id)


def _exit(node: Node) -> Point:
    return ("task" if isinstance(node, TaskPlan) else "end", node.id)


def _path_of_ring(plan: DagPlan, names: set[str]) -> Path:
    """The place of the last dependency that closes the circle, which is the likeliest mistake."""
    inside = [
        link.path
        for link in plan.links
        if link.upstream.id in names and link.downstream.id in names
    ]
    return inside[-1] if inside else plan.root.path


def topological(plan: DagPlan) -> list[TaskPlan]:
    """The tasks, each after those it depends on, else in the dictionary's order."""
    graph, _ = _graph(plan)
    points = graphlib.TopologicalSorter(graph).static_order()
    return [plan.tasks[name] for kind, name in points if kind == "task"]
