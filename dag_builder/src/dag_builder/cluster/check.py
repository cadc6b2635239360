"""Compares what DAGs need with what a cluster offers."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, cast

from dag_builder import airflow_internals
from dag_builder.cluster.description import UNLIMITED
from dag_builder.cluster.needs import Need, needs_of
from dag_builder.cluster.packages import needed_modules, normal, packages_with
from dag_builder.cluster.python_places import place_of
from dag_builder.errors import Position, Problem, closest, listed
from dag_builder.testing.load import Fault

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from airflow.sdk import DAG

    from dag_builder.cluster.description import Cluster, Kind
    from dag_builder.errors import Path
    from dag_builder.make.plans import Built
    from dag_builder.testing.load import Loaded

#: What to do if the description of the cluster does not say it.
_NEXT_STEPS: Mapping[Kind, str] = {
    "queue": "start a worker that serves it, or use one of the queues that are served",
    "pool": "create it: airflow pools set {name} SLOTS DESCRIPTION",
    "pool_slots": "lower pool_slots, or give the pool {name} more slots",
    "connection": "create it: airflow connections add {name} --conn-uri URI",
    "variable": "create it: airflow variables set {name} VALUE",
    "package": "add {name} to the packages that the cluster installs",
    "task_time": "shorten execution_timeout, or give the workers more time to stop",
}
#: The key of a function's arguments in a dictionary.
_ARGUMENTS = {"op_kwargs": "arguments", "op_args": "arguments"}


def check(found: Loaded, cluster: Cluster, built: Iterable[Built]) -> None:
    """Add what the cluster lacks to the errors. `built` has the plans of the DAGs."""
    plans = {id(one.dag): one for one in built}
    for dag in found.dags.values():
        if not dag.fileloc.endswith(".py"):
            dag.resolve_template_files()  # as Airflow does when it reads a Python file
        place = _Place(dag, plans.get(id(dag)))
        for need, problem in _lacking(dag, cluster):
            _add(found, place.problem(need, problem), is_error=not need.is_default, dag=dag)
    if cluster.packages is not None:
        _check_packages(found, cluster, plans)


def _add(found: Loaded, problem: Problem, *, is_error: bool, dag: DAG) -> None:
    file = problem.position.file if problem.position else dag.fileloc
    if is_error:
        found.add_error(file, str(problem), Fault.of(problem, file))
    else:
        found.warnings.setdefault(file, []).append(str(problem))


def _lacking(dag: DAG, cluster: Cluster) -> Iterator[tuple[Need, Problem]]:
    """The first task's need of each thing that is lacking, with the number of the others."""
    lacking: dict[tuple[Any, ...], list[tuple[Need, Problem]]] = {}
    for need in needs_of(dag):
        problem = _problem(need, cluster)
        if problem is not None:
            lacking.setdefault((need.kind, need.name, problem.given), []).append((need, problem))
    for same in lacking.values():
        # A task that names it itself comes before one whose operator has it as its default.
        need, problem = min(same, key=lambda pair: pair[0].is_default)
        others = len({one.task_id for one, _ in same} - {need.task_id})
        if others:
            tasks = "task of this DAG does" if others == 1 else "tasks of this DAG do"
            hint = f"{problem.hint}\n    {others} more {tasks} the same"
            problem = replace(problem, hint=hint)
        yield need, problem


def _problem(need: Need, cluster: Cluster) -> Problem | None:
    served = cluster.queues
    pools = cluster.pools
    match need.kind:
        case "queue":
            return None if served is None else _of_queue(need.name, served, cluster)
        case "task_time":
            return None if served is None else _of_time(need, served, cluster)
        case "pool":
            return _of_name("pool", need, pools, cluster)
        case "pool_slots":
            return None if pools is None else _of_slots(need, pools, cluster)
        case "variable":
            return _of_name("variable", need, cluster.variables, cluster)
        case _:
            return _of_name("connection", need, cluster.connections, cluster)


def _queue(name: str, cluster: Cluster) -> str:
    """A task that names no queue has the default of the Airflow here, not of the cluster."""
    return cluster.default_queue if name == airflow_internals.default_queue() else name


def _of_queue(name: str, served: Mapping[str, object], cluster: Cluster) -> Problem | None:
    queue = _queue(name, cluster)
    if queue in served:
        return None
    return Problem(
        path=(),
        message=f"no worker of the cluster serves the queue {queue!r}: the task would wait forever",
        given=queue,
        valid=listed(sorted(served)),
        suggestion=closest(queue, served),
        hint=_next_step("queue", queue, cluster),
    )


def _of_time(need: Need, served: Mapping[str, float | None], cluster: Cluster) -> Problem | None:
    queue = _queue(need.name, cluster)
    most = served.get(queue)
    if most is None or need.amount <= most:
        return None
    allowed = dt.timedelta(seconds=most)
    return Problem(
        path=(),
        message=f"the task may take longer than the {allowed} that a worker of the queue {queue!r} "
        "gives it when it stops: then it is cut off",
        given=str(dt.timedelta(seconds=need.amount)),
        valid=f"up to {allowed}",
        hint=_next_step("task_time", queue, cluster),
    )


def _of_slots(need: Need, pools: Mapping[str, int], cluster: Cluster) -> Problem | None:
    slots = pools.get(need.name, UNLIMITED)
    if slots == UNLIMITED or need.amount <= slots:
        return None
    return Problem(
        path=(),
        message=f"the pool {need.name!r} of the cluster has fewer slots than the task takes, so "
        "the task would wait forever",
        given=need.amount,
        valid=f"up to {slots}",
        hint=_next_step("pool_slots", need.name, cluster),
    )


def _of_name(
    kind: Kind, need: Need, names: Collection[str] | None, cluster: Cluster
) -> Problem | None:
    if names is None or need.name in names:
        return None
    implied = ", which the operator uses by default," if need.is_default else ""
    return Problem(
        path=(),
        message=f"the {kind} {need.name!r}{implied} is not configured on the cluster",
        given=need.name,
        valid=listed(sorted(names)),
        suggestion=closest(need.name, names),
        hint=_next_step(kind, need.name, cluster),
    )


def _next_step(kind: Kind, name: str, cluster: Cluster) -> str:
    return cluster.next_steps.get(kind, _NEXT_STEPS[kind]).replace("{name}", name)


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """A package that code needs, and the DAG or module that needs it."""

    problem: Problem
    file: str


def _check_packages(found: Loaded, cluster: Cluster, plans: Mapping[int, Built]) -> None:
    there = {normal(name) for name in cast("list[str]", cluster.packages)}
    seen: set[tuple[str, str]] = set()
    for wanted in _wanted(found, there, cluster, plans):
        name = str(wanted.problem.given)
        if (wanted.file, name) in seen:
            continue
        seen.add((wanted.file, name))
        if wanted.problem.hint:
            found.add_error(wanted.file, str(wanted.problem), Fault.of(wanted.problem, wanted.file))
        else:
            found.warnings.setdefault(wanted.file, []).append(str(wanted.problem))


def _wanted(
    found: Loaded, there: AbstractSet[str], cluster: Cluster, plans: Mapping[int, Built]
) -> Iterator[_Wanted]:
    broken = [FilePath(file) for file in found.errors if file.endswith(".py")]
    for one in needed_modules(found.dags.values(), broken):
        position = Position(file=one.file, line=one.line, column=one.column)
        problem = _of_module(one.path, (f"import {one.path}",), there, cluster)
        if problem is not None:
            yield _Wanted(problem=replace(problem, position=position), file=one.file)
    for dag in found.dags.values():
        place = _Place(dag, plans.get(id(dag)))
        for task in dag.tasks:
            problem = _of_module(airflow_internals.class_of(task).__module__, (), there, cluster)
            if problem is not None:
                need = Need(kind="package", name="", task_id=task.task_id, where=("operator",))
                placed = place.problem(need, problem)
                file = placed.position.file if placed.position else dag.fileloc
                yield _Wanted(problem=placed, file=file)


def _of_module(
    module: str, path: tuple[str, ...], there: AbstractSet[str], cluster: Cluster
) -> Problem | None:
    packages = packages_with(module)
    top = module.partition(".")[0]
    if packages is None and normal(top) not in there:
        return Problem(
            path=path,
            message=f"no package here has the module {top!r}, so the cluster is not checked for "
            "it: install its package where you run the check",
            given=top,
        )
    if not packages or not there.isdisjoint(packages):
        return None
    return Problem(
        path=path,
        message=f"the cluster does not have the package {packages[0]!r}, which {module!r} is in",
        given=packages[0],
        hint=_next_step("package", packages[0], cluster),
    )


class _Place:
    """Where the tasks of a DAG are written."""

    def __init__(self, dag: DAG, built: Built | None) -> None:
        self.dag = dag
        self.built = built

    def problem(self, need: Need, problem: Problem) -> Problem:
        """Return the problem with its path and, if it can be found, its position."""
        plan = self.built.plan.tasks.get(need.task_id) if self.built else None
        task = plan.path if plan else (self.dag.dag_id, need.task_id)
        where = need.where
        if plan and where[0] in _ARGUMENTS:
            where = (_ARGUMENTS[str(where[0])], *where[1:])
        position = self._in_yaml(task, where) or self._in_python(need)
        return replace(problem, path=(*task, *where), position=position)

    def _in_yaml(self, task: Path, where: Path) -> Position | None:
        """The place in the task itself, in the nearest default_args, or that of the task."""
        if self.built is None:
            return None
        locate = self.built.locate
        owners = [task[:length] for length in range(len(task), 0, -1)]
        for path in [(*task, *where), *((*owner, "default_args", *where) for owner in owners)]:
            # What is not there has the place of what it would be in.
            if locate(path) != locate(path[:-1]):
                return locate(path)
        return locate(task)

    def _in_python(self, need: Need) -> Position | None:
        file = self.built.file if self.built else self.dag.fileloc
        argument = next((part for part in reversed(need.where) if isinstance(part, str)), "")
        leaf = need.task_id.rpartition(".")[2]
        found = place_of(file, argument, need.name, leaf)
        if found is None and self.built and self.built.line:
            found = Position(file=file, line=self.built.line, column=1)
        return found
