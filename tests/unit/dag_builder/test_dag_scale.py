"""Mistakes, aliases and DAGs in large numbers cost in proportion to their number.

A bound on a count of operations, or the ratio of two sizes, in place of a time limit.
"""

from typing import Any

import dag_builder.errors
import pytest
from dag_builder.errors import MAX_PROBLEMS_SHOWN
from dag_builder.yaml.documents import read_string

from dag_builder import DagError, build_dag, dag_of

E = {"operator": "empty"}


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of names that wrong ones are compared with."""
    counts: list[int] = []
    real = dag_builder.errors.closest

    def closest(given: str, names: Any) -> str:
        counts.append(len(list(names)))
        return real(given, names)

    monkeypatch.setattr(dag_builder.errors, "closest", closest)
    return counts


def mistakes(tasks: dict[str, Any], **keys: Any) -> DagError:
    with pytest.raises(DagError) as caught:
        dag_of("d", {"tasks": tasks, **keys})
    return caught.value


def test_one_wrong_name_of_many_tasks_is_compared_once(compared: list[int]) -> None:
    tasks = {f"t{n}": {**E, "upstream": "strat"} for n in range(3000)}
    error = mistakes({**tasks, "start": E})
    assert len(error.problems) == 3000
    assert {problem.suggestion for problem in error.problems} == {"start"}
    assert compared == [3001]


def test_many_wrong_names_are_compared_up_to_a_bound(compared: list[int]) -> None:
    error = mistakes({f"t{n}": {**E, "upstream": f"x{n}x"} for n in range(3000)})
    assert len(error.problems) == 3000
    assert sum(compared) <= dag_builder.errors.MAX_COMPARISONS


def test_the_text_of_many_mistakes_is_bounded() -> None:
    error = mistakes({f"t{n}": {**E, "upstream": f"x{n}x"} for n in range(1000)})
    assert str(error).count("there is no task or group") == MAX_PROBLEMS_SHOWN
    assert f"and {1000 - MAX_PROBLEMS_SHOWN} more mistakes" in str(error)


def test_many_circles_are_bounded() -> None:
    tasks = {f"t{n}": {**E, "upstream": f"t{n ^ 1}"} for n in range(2000)}
    assert len(mistakes(tasks).problems) == 21
    ring = {f"t{n}": {**E, "upstream": f"t{(n + 1) % 2000}"} for n in range(2000)}
    assert len(str(mistakes(ring))) < 1000


def test_positions_of_many_mistakes_look_at_each_mapping_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dag_builder.builder import dags_of_document
    from dag_builder.yaml import source

    calls: list[int] = []
    real: Any = source._items

    def items(node: Any) -> Any:
        calls.append(1)
        return real(node)

    monkeypatch.setattr(source, "_items", items)
    lines = "".join(f"  t{n}: {{operator: empty, retris: 1}}\n" for n in range(500))
    problems: list[Any] = []
    dags_of_document(read_string(f"dag_id: x\ntasks:\n{lines}"), {}, problems)
    assert len(problems) == 500
    assert problems[-1].position.line == 502
    assert len(calls) <= 502


def test_registering_looks_at_each_name_of_the_module_once() -> None:
    looked = 0

    class Counting(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            nonlocal looked
            looked += 1
            return super().__getitem__(key)

    code = "for n in range(300): build_dag(f'd{n}', {'tasks': {'a': {'operator': 'empty'}}})"
    module = Counting(__name__="many", build_dag=build_dag)
    exec(compile(code, "many.py", "exec"), module)  # noqa: S102
    assert sum(key.startswith("dag:") for key in module) == 300
    assert looked < 300 * 10


def test_two_dags_of_one_id_are_refused_however_they_are_named() -> None:
    from airflow.sdk import DAG

    module: dict[str, Any] = {"__name__": "two", "build_dag": build_dag, "DAG": DAG}
    build = "build_dag('d', {'tasks': {'a': {'operator': 'empty'}}})"
    exec(compile("build_dag('e', {'tasks': {'a': {'operator': 'empty'}}})", "x", "exec"), module)  # noqa: S102
    exec(compile("mine = DAG('d')", "x", "exec"), module)  # noqa: S102
    with pytest.raises(DagError, match="two DAGs with the id 'd'"):
        exec(compile(build, "x", "exec"), module)  # noqa: S102


def test_aliases_that_multiply_are_refused() -> None:
    lines = ["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    text = "dag_id: x\ntasks: {a: {operator: empty}}\nparams:\n  " + "\n  ".join(lines)
    document = read_string(text)
    assert not document.dags
    assert "its aliases expand to more than" in str(document.problems[0])


def test_many_aliases_of_one_mapping_are_taken() -> None:
    lines = "".join(f"  t{n}: {{<<: *a, env: *e}}\n" for n in range(2000))
    text = (
        "x-e: &e {A: '1', B: '2', C: '3', D: '4'}\n"
        "x-a: &a {operator: bash, bash_command: x}\n"
        f"dag_id: x\ntasks:\n{lines}"
    )
    document = read_string(text)
    assert not document.problems
    assert len(document.dags[0].dictionary["tasks"]) == 2000
