"""Any acyclic structure gives exactly its edges; any cyclic one is refused, and shown."""

import itertools
import random
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TaskGroup
from dag_builder.eject.compare import stored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dag_builder import DagError, dag_of

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
EMPTY = {"operator": "empty"}
NAMES = st.lists(
    st.text("abcxyz_0123456789-", min_size=1, max_size=5), min_size=1, max_size=9, unique=True
)
Edges = set[tuple[str, str]]


def edges_of(dag: DAG) -> Edges:
    down = {(task.task_id, other) for task in dag.tasks for other in task.downstream_task_ids}
    up = {(other, task.task_id) for task in dag.tasks for other in task.upstream_task_ids}
    assert up == down
    return down


@st.composite
def acyclic(draw: st.DrawFn) -> tuple[list[str], Edges]:
    """Names in a random order, and edges that all go from earlier to later in another order."""
    names = draw(NAMES)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    chosen = draw(st.sets(st.sampled_from(pairs))) if pairs else set()
    return draw(st.permutations(names)), chosen


def structure(names: list[str], edges: Edges) -> dict[str, list[str]]:
    return {name: sorted(a for a, b in edges if b == name) for name in names}


@QUICK
@given(acyclic())
def test_acyclic_structure_gives_exactly_its_edges(case: tuple[list[str], Edges]) -> None:
    names, edges = case
    functions = dict.fromkeys(names, print_nothing)
    dag = dag_of("x", structure(names, edges), functions)
    assert list(dag.task_dict) == names
    assert edges_of(dag) == edges
    dag.validate()
    dag.check_cycle()


@QUICK
@given(acyclic(), st.randoms(use_true_random=False))
def test_edges_may_be_written_in_any_way(
    case: tuple[list[str], Edges], chance: random.Random
) -> None:
    """As upstream, downstream or a chain, or as two of them: the edges are the same."""
    names, edges = case
    tasks: dict[str, Any] = {name: {**EMPTY, "upstream": [], "downstream": []} for name in names}
    chains: list[Any] = []
    for upstream, downstream in sorted(edges):
        ways = chance.sample(["upstream", "downstream", "chain"], k=chance.randint(1, 2))
        if "upstream" in ways:
            tasks[downstream]["upstream"].append(upstream)
        if "downstream" in ways:
            tasks[upstream]["downstream"].append(downstream)
        if "chain" in ways:
            chains.append([upstream, downstream])
    assert edges_of(dag_of("x", {"tasks": tasks, "chains": chains})) == edges


@QUICK
@given(acyclic(), st.data())
def test_cyclic_structure_is_refused_with_its_cycle(
    case: tuple[list[str], Edges], data: st.DataObject
) -> None:
    names, edges = case
    ring = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    cyclic = edges | set(zip(ring, [*ring[1:], ring[0]], strict=True))
    with pytest.raises(DagError) as caught:
        dag_of("x", structure(names, cyclic), dict.fromkeys(names, print_nothing))
    for problem in caught.value.problems:
        assert "in a cycle: " in problem.message
        shown = problem.message.rpartition(": ")[2].split(" → ")
        assert shown[0] == shown[-1]
        assert len(shown) > 1
        assert set(itertools.pairwise(shown)) <= cyclic


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> dict[str, Any]:
    """Tasks in groups in groups, without dependencies."""
    names = draw(st.lists(st.sampled_from("abcde"), min_size=1, max_size=3, unique=True))
    made: dict[str, Any] = {}
    for name in names:
        is_group = depth > 0 and draw(st.booleans())
        made[name] = {"tasks": draw(trees(depth - 1))} if is_group else dict(EMPTY)
    return made


def leaves(tree: dict[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, entry in tree.items():
        inner = f"{prefix}{name}"
        found.extend(leaves(entry["tasks"], f"{inner}.") if "tasks" in entry else [inner])
    return found


def entry_of(tree: dict[str, Any], task_id: str) -> dict[str, Any]:
    first, _, rest = task_id.partition(".")
    return entry_of(tree[first]["tasks"], rest) if rest else tree[first]


@QUICK
@given(trees(), st.data())
def test_groups_keep_edges_between_full_ids(tree: dict[str, Any], data: st.DataObject) -> None:
    ids = data.draw(st.permutations(leaves(tree)))
    pairs = [(a, b) for i, a in enumerate(ids) for b in ids[i + 1 :]]
    edges = data.draw(st.sets(st.sampled_from(pairs))) if pairs else set()
    for upstream, downstream in sorted(edges):
        entry_of(tree, downstream).setdefault("upstream", []).append(f"/{upstream}")
    dag = dag_of("x", {"tasks": tree})
    assert set(dag.task_dict) == set(ids)
    assert edges_of(dag) == edges


@QUICK
@given(acyclic())
def test_group_edges_are_those_of_airflow(inside: tuple[list[str], Edges]) -> None:
    """A group upstream and downstream of tasks: its first and last tasks have the edges."""
    names, edges = inside
    group = {name: {**EMPTY, "upstream": up} for name, up in structure(names, edges).items()}
    dag = dag_of(
        "x",
        {
            "tasks": {
                "before": EMPTY,
                "group": {"tasks": group, "upstream": "before"},
                "after": {**EMPTY, "upstream": "group"},
            }
        },
    )
    first = {name for name in names if not any(b == name for _, b in edges)}
    last = {name for name in names if not any(a == name for a, _ in edges)}
    assert edges_of(dag) == (
        {(f"group.{a}", f"group.{b}") for a, b in edges}
        | {("before", f"group.{name}") for name in first}
        | {(f"group.{name}", "after") for name in last}
    )


def print_nothing() -> None:
    """A task."""


def test_long_chain_is_built() -> None:
    """A thousand tasks in a row, given from the last to the first."""
    names = [f"t{number}" for number in range(1000)]
    tasks = {
        name: {**EMPTY, **({"upstream": names[index - 1]} if index else {})}
        for index, name in reversed(list(enumerate(names)))
    }
    assert len(edges_of(dag_of("x", {"tasks": tasks}))) == 999


def test_names_are_looked_up_in_the_group_then_around_it() -> None:
    dag = dag_of(
        "x",
        {
            "tasks": {
                "a": EMPTY,
                "b": EMPTY,
                "g": {
                    "tasks": {
                        "a": EMPTY,
                        "inner": {"tasks": {"c": {**EMPTY, "upstream": ["a", "b"]}}},
                    }
                },
            }
        },
    )
    assert edges_of(dag) == {("g.a", "g.inner.c"), ("b", "g.inner.c")}


def test_function_gets_what_is_upstream_and_not_what_is_near() -> None:
    def use(a: int) -> int:
        return a

    dag = dag_of(
        "x",
        {
            "tasks": {
                "a": {"callable": print_nothing},
                "g": {
                    "tasks": {
                        "use": {"callable": use, "upstream": ["/a"]},
                    }
                },
            }
        },
    )
    assert edges_of(dag) == {("a", "g.use")}
    assert dag.get_task("g.use").op_kwargs["a"].operator.task_id == "a"


def test_reference_makes_an_edge_whatever_the_order() -> None:
    dag = dag_of(
        "x",
        {
            "tasks": {
                "say": {"operator": "bash", "bash_command": {"$output": "make"}},
                "make": {"operator": "bash", "bash_command": "echo 1"},
            }
        },
    )
    assert edges_of(dag) == {("make", "say")}


def test_groups_are_joined_as_the_operator_of_airflow_does() -> None:
    found = dag_of(
        "x",
        {
            "tasks": {
                "one": {"tasks": {"a": EMPTY, "b": {**EMPTY, "upstream": "a"}}},
                "two": {"tasks": {"c": EMPTY}, "upstream": "one"},
            }
        },
    )
    with DAG("x", schedule=None) as plain:
        with TaskGroup("one") as one:
            EmptyOperator(task_id="a") >> EmptyOperator(task_id="b")
        with TaskGroup("two") as two:
            EmptyOperator(task_id="c")
        one >> two
    assert stored(found) == stored(plain)


def test_the_end_of_a_group_is_known_before_what_follows_it_anywhere() -> None:
    found = dag_of(
        "x",
        {
            "tasks": {
                "one": {"tasks": {"in": {"tasks": {"a": EMPTY}}, "b": {**EMPTY, "upstream": "in"}}},
                "far": {"tasks": {"away": {"tasks": {"c": {**EMPTY, "upstream": "/one"}}}}},
            }
        },
    )
    assert found.get_task("far.away.c").upstream_task_ids == {"one.b"}
