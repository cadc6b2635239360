"""Groups that a function makes, decorated with Airflow's ``@task_group``."""

from typing import Any

import pytest
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, task, task_group

from dag_builder import DagError, dag_of

EMPTY = {"operator": "empty"}


@task
def copy(table: str, rows: Any) -> None:
    """Copy a table."""


@task
def index(table: str) -> None:
    """Index a table."""


@task_group
def load(table: str, *, full: bool = False, rows: Any = None) -> Any:
    copied = copy(table, rows)
    copied >> index(f"{table} {full}")
    return copied


@task_group
def tidy(folder: str) -> None:
    BashOperator(task_id="list", bash_command=f"ls {folder}") >> BashOperator(
        task_id="remove", bash_command=f"rm {folder}"
    )


def rows() -> list[int]:
    return [1]


def use(orders: Any) -> None:
    """Use what a group returns."""


def upstream_of(dag: DAG) -> dict[str, set[str]]:
    return {one.task_id: set(one.upstream_task_ids) for one in dag.tasks}


def problem(**tasks: Any) -> tuple[str, str]:
    with pytest.raises(DagError) as caught:
        dag_of("x", {"tasks": tasks})
    [found] = caught.value.problems
    return found.where, found.message


def test_a_group_is_named_and_linked_as_a_whole() -> None:
    dag = dag_of(
        "x",
        {
            "default_args": {"retries": 2, "cwd": "/data"},
            "tasks": {
                "start": EMPTY,
                "orders": {
                    "callable": load,
                    "arguments": {"table": "o", "full": True},
                    "upstream": "start",
                    "tooltip": "all",
                    "default_args": {"pool": "p"},
                },
                "outer": {
                    "tasks": {
                        "tidy": {"callable": tidy, "arguments": {"folder": "f"}},
                        "end": {**EMPTY, "upstream": ["tidy", "/orders"]},
                    }
                },
            },
        },
    )
    assert upstream_of(dag) == {
        "start": set(),
        "orders.copy": {"start"},
        "orders.index": {"orders.copy"},
        "outer.tidy.list": set(),
        "outer.tidy.remove": {"outer.tidy.list"},
        "outer.end": {"outer.tidy.remove", "orders.index"},
    }
    found: Any = dag.get_task("orders.copy")
    assert (found.pool, found.retries) == ("p", 2)
    listing: Any = dag.get_task("outer.tidy.list")
    assert listing.cwd == "/data"
    assert dag.task_group.get_child_by_label("orders").tooltip == "all"  # type: ignore[union-attr]


def test_outputs_go_into_a_group_and_out_of_it() -> None:
    dag = dag_of(
        "x",
        {
            "tasks": {
                "use": {"callable": use, "arguments": {"orders": {"$output": "orders"}}},
                "rows": {"callable": rows},
                "orders": {"callable": load, "arguments": {"table": "o"}, "upstream": "rows"},
            }
        },
    )
    found: Any = dag.get_task("orders.copy")
    assert found.op_args[1].operator.task_id == "rows"
    assert upstream_of(dag)["use"] == {"orders.copy"}


def test_an_output_alone_joins_only_the_tasks_that_use_it() -> None:
    dag = dag_of(
        "x",
        {
            "tasks": {
                "rows": {"callable": rows},
                "both": {"callable": two, "arguments": {"rows": {"$output": "rows"}}},
            }
        },
    )
    assert upstream_of(dag) == {"rows": set(), "both.copy": {"rows"}, "both.index": set()}


@task_group
def two(rows: Any) -> None:
    copy("t", rows)
    index("t")


def test_a_group_is_expanded() -> None:
    dag = dag_of(
        "x",
        {
            "tasks": {
                "each": {"callable": load, "partial": {"full": True}, "expand": {"table": ["a"]}},
                "end": {**EMPTY, "upstream": "each"},
            }
        },
    )
    found: Any = dag.get_task("each.copy")
    assert list(found.iter_mapped_task_groups())
    assert upstream_of(dag)["end"] == {"each.index"}


def test_arguments_are_checked_by_their_annotations() -> None:
    where = "x.tasks.a.arguments"
    assert problem(a={"callable": load, "arguments": {"table": 5}}) == (
        f"{where}.table",
        "this must be text",
    )
    assert problem(a={"callable": load, "arguments": {"table": "t", "full": "no"}}) == (
        f"{where}.full",
        "this must be true or false",
    )
    assert problem(a={"callable": load, "arguments": {"table": "t", "ful": True}}) == (
        f"{where}.ful",
        "load() has no argument 'ful'",
    )
    assert problem(a={"callable": load, "arguments": ["t"]}) == (where, "this must be a mapping")
    assert problem(a={"callable": load}) == (
        "x.tasks.a",
        "load() needs 'table', which no task or argument provides",
    )
    assert problem(a={"callable": load, "arguments": {"table": "t"}, "retries": 1}) == (
        "x.tasks.a.retries",
        "a group has no 'retries'",
    )


def test_a_group_without_an_output_has_none() -> None:
    where, message = problem(
        a={"callable": tidy, "arguments": {"folder": "f"}},
        b={"callable": use, "arguments": {"orders": {"$output": "a"}}},
    )
    assert where == "x.tasks.b"
    assert "tidy() does not return a task, so its group has no output" in message


def test_a_group_is_not_a_set_up() -> None:
    assert problem(
        a={"callable": tidy, "arguments": {"folder": "f"}}, b={**EMPTY, "teardown": "a"}
    ) == ("x.tasks.b.teardown[0]", "a set-up is a task, and this is a group")


def test_groups_that_depend_on_each_other_are_a_cycle() -> None:
    _, message = problem(
        a={"callable": tidy, "arguments": {"folder": "f"}, "upstream": "b"},
        b={"callable": tidy, "arguments": {"folder": "f"}, "upstream": "a"},
    )
    assert message == "the tasks depend on each other in a cycle: a → b → a"
