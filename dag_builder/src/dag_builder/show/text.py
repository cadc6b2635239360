"""A DAG's structure as text: a tree for the terminal, Mermaid and DOT for pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow.sdk import DAG


def tree(dag: DAG) -> str:
    """Each task under those it comes after; one that is already shown is marked with ↑."""
    lines = [_title(dag)]
    shown: set[str] = set()
    roots = [task for task in dag.tasks if not task.upstream_task_ids]
    for index, task in enumerate(roots):
        lines.extend(_branch(dag, task, "", index == len(roots) - 1, shown))
    return "\n".join(lines)


def _title(dag: DAG) -> str:
    timetable = dag.timetable
    when = getattr(timetable, "expression", None) or type(timetable).__name__
    if not getattr(timetable, "can_be_scheduled", True):
        when = "by hand"
    return f"{dag.dag_id} ({when}, {len(dag.tasks)} tasks)"


def _branch(dag: DAG, task: Any, indent: str, last: bool, shown: set[str]) -> Iterator[str]:  # noqa: FBT001
    # A list in place of recursion: a chain of a thousand tasks is deeper than Python's stack.
    waiting: list[tuple[Any, str, bool]] = [(task, indent, last)]
    while waiting:
        task, indent, last = waiting.pop()
        again = task.task_id in shown
        mark = " ↑" if again and task.downstream_task_ids else ""
        yield f"{indent}{'└─' if last else '├─'} {task.task_id}{_details(task)}{mark}"
        if again:
            continue
        shown.add(task.task_id)
        below = [dag.get_task(name) for name in sorted(task.downstream_task_ids)]
        deeper = f"{indent}{'   ' if last else '│  '}"
        waiting.extend(
            (item, deeper, index == len(below) - 1)
            for index, item in reversed(list(enumerate(below)))
        )


def _details(task: Any) -> str:
    words = [str(getattr(task, "operator_name", task.task_type))]
    rule = str(getattr(task.trigger_rule, "value", task.trigger_rule))
    if rule != "all_success":
        words.append(rule)
    if task.is_mapped:
        words.append("mapped")
    return f" [{', '.join(words)}]"


def edges(dag: DAG) -> list[tuple[str, str, str]]:
    """Every edge: upstream id, downstream id, label; sorted, so that the output stays the same."""
    return [
        (task.task_id, other, _label(dag, task.task_id, other))
        for task in sorted(dag.tasks, key=lambda item: item.task_id)
        for other in sorted(task.downstream_task_ids)
    ]


def _label(dag: DAG, upstream: str, downstream: str) -> str:
    return str(dag.get_edge_info(upstream, downstream).get("label") or "")


def mermaid(dag: DAG) -> str:
    """A Mermaid flowchart, which GitHub and many wikis draw in Markdown."""
    numbers = {task.task_id: f"t{index}" for index, task in enumerate(dag.tasks)}
    lines = ["flowchart LR", *_mermaid_group(dag.task_group, numbers, "    ")]
    for upstream, downstream, label in edges(dag):
        arrow = f'-- "{_quoted(label)}" -->' if label else "-->"
        lines.append(f"    {numbers[upstream]} {arrow} {numbers[downstream]}")
    return "\n".join(lines)


def _mermaid_group(group: Any, numbers: dict[str, str], indent: str) -> Iterator[str]:
    for child in _children(group):
        if hasattr(child, "task_id"):
            yield f'{indent}{numbers[child.task_id]}["{_quoted(child.label)}"]'
            continue
        name = f"group_{len(indent)}_{child.group_id.replace('.', '_').replace('-', '_')}"
        yield f'{indent}subgraph {name}["{_quoted(child.label)}"]'
        yield from _mermaid_group(child, numbers, f"{indent}    ")
        yield f"{indent}end"


def dot(dag: DAG) -> str:
    """The graph in Graphviz' language."""
    lines = [
        f'digraph "{_quoted(dag.dag_id)}" {{',
        '  rankdir=LR; fontname="Helvetica"; label="' + _quoted(dag.dag_id) + '"; labelloc=t;',
        '  node [shape=box, style="rounded,filled", fillcolor="#ffffff", fontname="Helvetica"];',
        '  edge [fontname="Helvetica", fontsize=10];',
        *_dot_group(dag.task_group, "  "),
    ]
    for upstream, downstream, label in edges(dag):
        text = f' [label="{_quoted(label)}"]' if label else ""
        lines.append(f'  "{upstream}" -> "{downstream}"{text};')
    return "\n".join([*lines, "}"])


def _dot_group(group: Any, indent: str) -> Iterator[str]:
    for child in _children(group):
        if hasattr(child, "task_id"):
            yield (
                f'{indent}"{child.task_id}" [label="{_quoted(child.label)}", '
                f'fillcolor="{child.ui_color}", fontcolor="{child.ui_fgcolor}"];'
            )
            continue
        yield f'{indent}subgraph "cluster_{child.group_id}" {{'
        yield f'{indent}  label="{_quoted(child.label)}"; style=rounded; color="#888888";'
        yield from _dot_group(child, f"{indent}  ")
        yield f"{indent}}}"


def _children(group: Any) -> Iterable[Any]:
    return cast("dict[str, Any]", group.children).values()


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', "'")
