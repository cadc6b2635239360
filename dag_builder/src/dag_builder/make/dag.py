"""Makes Airflow's DAG, groups, tasks and edges from a plan."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, cast

from dag_builder import airflow_internals
from dag_builder.errors import UNEXPECTED
from dag_builder.plan import DagPlan, GroupPlan, Link, TaskPlan, is_group, makes_group
from dag_builder.read import links
from dag_builder.references import RETURN_VALUE, Argument, Output, resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import DAG

    from dag_builder.errors import Path, Problems


_TRIED = "tried"
"""The id of DAGs that are made to find mistakes, as the real one may be a mistake itself."""
_SHARED = frozenset({"default_args", "defaults", "operator_defaults"})
"""Keys whose values other tasks get as well, so that these may lack something by their mistakes."""


def make_dag(plan: DagPlan, problems: Problems, fileloc: str) -> DAG | None:
    """The DAG of a plan, or None if an operator refuses its arguments (which is noted).

    `fileloc` is the DAG file, as Airflow shows it and as its templates are relative to.
    """
    return _Maker(plan, problems).make(fileloc)


def try_out(plan: DagPlan, problems: Problems) -> None:
    """Note what Airflow refuses too in a DAG that already has mistakes, so that all are reported.

    Nothing is noted that one of those may be the cause of.
    """
    _Maker(plan, problems).try_out()


class _Maker:
    def __init__(self, plan: DagPlan, problems: Problems) -> None:
        self.plan = plan
        self.problems = problems
        self.groups: dict[str, Any] = {}
        self.operators: dict[str, Any] = {}
        #: What the function of each group returned.
        self.returned: dict[str, Any] = {}

    def make(self, fileloc: str) -> DAG | None:
        from airflow.sdk import DAG

        try:
            self.dag = DAG(self.plan.dag_id, **self.plan.kwargs)  # noqa: AIR002 - it is in kwargs
        except UNEXPECTED as error:  # Airflow raises many kinds; all are the user's
            self.problems.add(self._dag_path(error), _reason("Airflow", error))
            self._try_tasks()
            return None
        self.dag.fileloc = fileloc
        self.groups[""] = self.dag.task_group
        before = len(self.problems.found)
        tasks = self.plan.tasks.values()
        if any(task.has_references for task in tasks) or self._has_mapped_groups():
            tasks = links.topological(self.plan)
        for task in tasks:
            self._task(task)
        if len(self.problems.found) > before:
            return None
        self._link()
        return self.dag

    def try_out(self) -> None:
        from airflow.sdk import DAG

        nodes = {node.path for node in (*self.plan.groups.values(), *self.plan.tasks.values())}
        own = [p for p in self.problems.found if nodes.isdisjoint(_prefixes(p.path))]
        try:
            DAG(_TRIED, **self.plan.kwargs)  # noqa: AIR002 - it is in kwargs
        except UNEXPECTED as error:
            named = {word for p in own for word in (str(p.path[-1]), p.suggestion) if word}
            if not any(word in str(error) for word in named):
                self.problems.add(self._dag_path(error), _reason("Airflow", error))
        self._try_tasks()

    def _try_tasks(self) -> None:
        """Make each task that has no mistake and needs no other, in a DAG of its own."""
        from airflow.sdk import DAG

        wrong = {prefix for one in self.problems.found for prefix in _prefixes(one.path)}
        if any(path[-1] in _SHARED for path in wrong):
            return
        for task in self.plan.tasks.values():
            needs_others = task.has_references or task.instance is not None or task.makes_group
            if needs_others or task.path in wrong:
                continue
            self.dag = DAG(_TRIED, schedule=None)
            self.groups = {task.group.id: self.dag.task_group}
            self._task(task)

    def _dag_path(self, error: BaseException) -> Path:
        """The key that Airflow's message is about, if it names one."""
        text = str(error)
        for key in self.plan.kwargs:
            if key in text:
                return (self.plan.dag_id, key)
        return (self.plan.dag_id,)

    def _has_mapped_groups(self) -> bool:
        return any(
            group.expand is not None or group.expand_kwargs is not None
            for group in self.plan.groups.values()
        )

    # Groups

    def _group_of(self, group: GroupPlan) -> Any:
        """The Airflow group; made with its first task, to keep the dictionary's order."""
        if group.id not in self.groups:
            self._group(group)
        return self.groups[group.id]

    def _group(self, group: GroupPlan) -> None:
        from airflow.sdk import TaskGroup

        parent = cast("GroupPlan", group.parent)
        common: dict[str, Any] = {
            "group_id": group.name,
            "parent_group": self._group_of(parent),
            "dag": self.dag,
            **group.kwargs,
        }
        if group.expand is None and group.expand_kwargs is None:
            self.groups[group.id] = TaskGroup(**common)
            return
        lookup = self._lookup(parent)
        expand_input = airflow_internals.expand_input(
            None if group.expand is None else resolve(group.expand, lookup),
            resolve(group.expand_kwargs, lookup),
        )
        self.groups[group.id] = airflow_internals.mapped_task_group(
            **common, expand_input=expand_input
        )

    # Tasks

    def _lookup(self, scope: GroupPlan) -> Callable[[Output | Argument], Any]:
        finder = links.Linker(self.plan, self.problems)

        def lookup(reference: Output | Argument) -> Any:
            if isinstance(reference, Argument):
                return self._mapped_argument(reference.name, scope)
            plan = cast("TaskPlan", finder.find(reference.task, scope, ()))
            found = self._output_of(plan)
            if reference.key != RETURN_VALUE:
                found = found[reference.key]
            for function in reference.functions:
                found = found.map(function)
            return found

        return lookup

    def _output_of(self, task: TaskPlan) -> Any:
        if not task.makes_group:
            return self.operators[task.id].output
        returned: Any = self.returned.get(task.id)
        if task.returns is None:
            name = cast("Any", task.function).__name__
            message = f"{name}() does not return a task, so its group has no output"
            raise TypeError(message)
        return returned.output if task.returns == "operator" else returned

    def _mapped_argument(self, name: str, scope: GroupPlan) -> Any:
        around: GroupPlan | None = scope
        while around is not None and not links.gives_argument(around, name):
            around = around.parent
        group = self._group_of(cast("GroupPlan", around))
        return airflow_internals.mapped_argument(group, name)

    def _task(self, task: TaskPlan) -> None:
        group = self.groups.get(task.group.id) or self._group_of(task.group)
        if task.instance is not None:
            self._adopt(task, group)
            return
        signature = cast("Any", task.signature)
        kwargs, arguments, expand, expand_kwargs = (
            task.kwargs,
            task.arguments,
            task.expand,
            task.expand_kwargs,
        )
        try:
            if task.has_references:
                lookup = self._lookup(task.group)
                kwargs, arguments = resolve(kwargs, lookup), resolve(arguments, lookup)
                expand, expand_kwargs = resolve(expand, lookup), resolve(expand_kwargs, lookup)
            if task.makes_group:
                self._group_of_function(task, group, arguments, expand, expand_kwargs)
                return
            if task.function is not None:
                made = self._from_function(task, group, kwargs, arguments, expand, expand_kwargs)
            elif expand is None and expand_kwargs is None:
                made = signature.makes(task_id=task.name, dag=self.dag, task_group=group, **kwargs)
            else:
                partial = signature.makes.partial(
                    task_id=task.name, dag=self.dag, task_group=group, **kwargs
                )
                made = (
                    partial.expand(**expand)
                    if expand is not None
                    else partial.expand_kwargs(expand_kwargs)
                )
            self._set_up(task, made)
        except UNEXPECTED as error:  # whatever an operator raises is reported
            name = signature.name if signature else f"{cast('Any', task.function).__name__}()"
            self.problems.add(task.path, _reason(name, error))
            return
        self.operators[task.id] = made

    def _from_function(  # noqa: PLR0917
        self,
        task: TaskPlan,
        group: Any,
        kwargs: Any,
        arguments: Any,
        expand: Any,
        expand_kwargs: Any,
    ) -> Any:
        factory = cast("Any", task.signature).makes(
            task_id=task.name, dag=self.dag, task_group=group, **kwargs
        )(task.function)
        if expand is None and expand_kwargs is None:
            return factory(**arguments).operator
        if arguments:
            factory = factory.partial(**arguments)
        if expand is not None:
            return factory.expand(**expand).operator
        return factory.expand_kwargs(expand_kwargs).operator

    def _group_of_function(
        self, task: TaskPlan, parent: Any, arguments: Any, expand: Any, expand_kwargs: Any
    ) -> None:
        """A group whose tasks a function makes. What it returns is the group's output."""
        factory = task.decorated.override(
            group_id=task.name, parent_group=parent, dag=self.dag, **task.kwargs
        )
        with airflow_internals.within(self.dag):
            if expand is None and expand_kwargs is None:
                returned = factory(**arguments)
            else:
                factory = factory.partial(**arguments) if arguments else factory
                returned = (
                    factory.expand(**expand)
                    if expand is not None
                    else factory.expand_kwargs(expand_kwargs)
                )
        self.groups[task.id] = parent.children[task.id]
        self.returned[task.id] = returned
        if hasattr(returned, "output"):
            task.returns = "operator"
        elif hasattr(returned, "map"):
            task.returns = "output"

    def _adopt(self, task: TaskPlan, group: Any) -> None:
        """An operator that the user made joins the DAG, and its group."""
        operator = task.instance
        operator.task_id = task.id
        operator.task_group = group
        group.add(operator)
        operator.dag = self.dag
        self._set_up(task, operator)
        self.operators[task.id] = operator

    def _set_up(self, task: TaskPlan, operator: Any) -> None:
        if task.setup:
            operator.as_setup()
        if task.teardown:
            operator.as_teardown(on_failure_fail_dagrun=task.on_failure_fail_dagrun)

    # Edges

    def _link(self) -> None:
        """Edges between tasks first: a group's first and last tasks are known only by them."""
        of_groups: list[Link] = []
        operators = self.operators
        for link in self.plan.links:
            upstream, downstream = link.upstream, link.downstream
            if link.of_value and (makes_group(upstream) or makes_group(downstream)):
                continue  # the tasks that use the value follow the one that returned it
            if is_group(upstream) or is_group(downstream):
                of_groups.append(link)
                continue
            # What Airflow's set_upstream comes to for two tasks of one DAG; its checks of the
            # DAG cost more than making the edge.
            operators[upstream.id].downstream_task_ids.add(downstream.id)
            operators[downstream.id].upstream_task_ids.add(upstream.id)
            if link.label:
                self.dag.set_edge_info(upstream.id, downstream.id, {"label": link.label})
        # Those within a group before those of the group itself, for the same reason.
        of_groups.sort(key=_depth, reverse=True)
        for link in of_groups:
            self._link_group(link)

    def _link_group(self, link: Link) -> None:
        ends = [
            self.groups[node.id] if is_group(node) else self.operators[node.id]
            for node in (link.upstream, link.downstream)
        ]
        modifier = None
        if link.label:
            from airflow.sdk import Label

            modifier = Label(link.label)
        try:
            ends[0].set_downstream(ends[1], edge_modifier=modifier)
        except UNEXPECTED as error:  # an expanded group refuses tasks that run 'always'
            self.problems.add(link.path, _reason("Airflow", error))


def _prefixes(path: Path) -> list[Path]:
    """A path and those that lead to it."""
    return [path[:length] for length in range(1, len(path) + 1)]


def _depth(link: Link) -> int:
    """Return how deep the innermost group is that both ends of a link are in."""
    ends = zip(link.upstream.path[:-2], link.downstream.path[:-2], strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], ends))


def _reason(who: str, error: BaseException) -> str:
    return f"{who} refuses this: {type(error).__name__}: {error}"
