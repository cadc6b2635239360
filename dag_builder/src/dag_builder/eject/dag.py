"""Writes one DAG of a plan as a ``with DAG(…)`` block."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from dag_builder import airflow_internals
from dag_builder.eject import links
from dag_builder.eject.code import (
    INDENT,
    Code,
    attribute,
    call,
    flat,
    is_name,
    lines,
    sequence,
    text,
)
from dag_builder.eject.refusal import EjectError, refuse
from dag_builder.errors import Problems
from dag_builder.plan import DagPlan, GroupPlan, Node, TaskPlan
from dag_builder.read.links import Linker, gives_argument, mapped_arguments_of
from dag_builder.references import Argument, Output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dag_builder.eject.values import Refer, Values

_SDK = "airflow.sdk"


@dataclass(kw_only=True)
class DagWriter:
    """Writes one DAG. Raises EjectError for what cannot be written."""

    plan: DagPlan
    values: Values
    #: The variable that the DAG itself has, if it has one.
    variable: str = ""
    #: The variable of each task and group, by id; of each mapped argument, by group and name.
    _names: dict[str, str] = field(default_factory=dict[str, str])
    _parameters: dict[tuple[str, str], str] = field(default_factory=dict["tuple[str, str]", str])
    #: The ids of nodes that are used after they are made.
    _needed: set[str] = field(default_factory=set[str])
    #: The ids of nodes that each mapped group's function returns.
    _returned: dict[str, list[Node]] = field(default_factory=dict[str, "list[Node]"])
    _edges: list[links.Edge] = field(default_factory=list[links.Edge])

    def write(self) -> list[str]:
        """Return the lines of the block."""
        self._edges = links.edges_of(self.plan, self._find)
        self._note_uses()
        kwargs = dict(self.plan.kwargs)
        if not kwargs["default_args"]:
            del kwargs["default_args"]
        path = self.plan.root.path
        if not kwargs.get("auto_register", True):
            reason = "auto_register is off, so that Airflow never sees this DAG"
            refuse(reason, (*path, "auto_register"))
        shown: dict[str, Code] = {}
        for key, value in kwargs.items():
            write = self.values.assets_of if key == "schedule" else self.values.code
            shown[key] = write(value, self._no_reference, (*path, key))
        name = self.values.names.imported(_SDK, "DAG")
        head = call(name, [text(self.plan.dag_id)], shown)
        body = self._block(self.plan.root, INDENT)
        self.values.refuse_what_is_lost()
        name_of_dag = f" as {self.variable}" if self.variable else ""
        return [*lines(head, before="with ", after=f"{name_of_dag}:"), *body]

    # What is used where

    def _find(self, output: Output, node: Node) -> TaskPlan:
        scope = links.parent_of(node) or self.plan.root
        found = Linker(self.plan, Problems()).find(output.task, scope, ())
        return cast("TaskPlan", found)

    def _note_uses(self) -> None:
        """Note what needs a variable, and what a mapped group's function must return."""
        for node in (*self.plan.tasks.values(), *self.plan.groups.values()):
            for reference in links.references_of(node):
                if isinstance(reference, Output):
                    self._use(self._find(reference, node), links.parent_of(node))
        for edge in self._edges:
            block = links.block_of(edge.upstream, edge.downstream)
            self._use(edge.upstream, block)
            self._use(edge.downstream, block)

    def _use(self, node: Node, block: GroupPlan | None) -> None:
        self._needed.add(node.id)
        here = [block, *(links.around(block) if block else [])]
        for group in links.around(node):
            if group in here:
                break
            if _is_mapped(group):
                returned = self._returned.setdefault(group.id, [])
                if node not in returned:
                    returned.append(node)
                self._needed.add(group.id)

    def _variable(self, node: Node) -> str:
        if node.id not in self._names:
            kind = "task" if isinstance(node, TaskPlan) else "group"
            used = {*self._names.values(), *self._parameters.values()}
            self._names[node.id] = self.values.names.variable(node.name, kind, used)
        return self._names[node.id]

    def _end(self, node: Node) -> str:
        """Return the code of an end of an edge: of a function's group, not what it returned."""
        name = self._variable(node)
        returns = node.returns if isinstance(node, TaskPlan) else None
        if returns is None:
            return name
        return f"{name}.operator.task_group" if returns == "output" else f"{name}.task_group"

    def _refer(self, node: Node) -> Refer:
        def refer(reference: Output | Argument) -> Code:
            if isinstance(reference, Argument):
                return self._parameter(reference.name, node)
            task = self._find(reference, node)
            name = self._variable(task)
            is_output = task.function is not None and task.returns != "operator"
            return name if is_output else attribute(name, "output")

        return refer

    def _no_reference(self, reference: Output | Argument) -> Code:
        refuse(f"{reference} is in what is made before any task")

    def _parameter(self, name: str, node: Node) -> str:
        group = next(g for g in links.around(node) if gives_argument(g, name))
        return self._parameters.setdefault((group.id, name), name)

    # Blocks

    def _block(self, group: GroupPlan, indent: int) -> list[str]:
        """Return the lines of what is in a group: tasks and groups, then their order."""
        written: list[str] = []
        for node in self._ordered(group):
            if isinstance(node, TaskPlan):
                written += self._task(node, indent)
            elif _is_mapped(node):
                blank = [] if written and not written[-1] else [""]
                written += [*blank, *self._mapped_group(node, indent), ""]
            else:
                written += self._group(node, indent)
        order = self._order(group, indent)
        if order and written[-1:] != [""] and len(written) > 1:
            written.append("")
        written += order
        return written[:-1] if written[-1:] == [""] else written

    def _order(self, group: GroupPlan, indent: int) -> list[str]:
        edges = [
            edge for edge in self._edges if links.block_of(edge.upstream, edge.downstream) is group
        ]
        written: list[str] = []
        for task in group.children.values():
            if isinstance(task, TaskPlan) and self._setups_here(task):
                written += lines(self._teardown(self._variable(task), task), indent=indent)
        plain = [edge for edge in edges if not links.is_setup_of(edge)]
        for code in links.statements(plain, self._end, self.values.names):
            written += lines(code, indent=indent)
        return written

    def _ordered(self, group: GroupPlan) -> list[Node]:
        """Return the children of a group, each after those whose outputs it or its tasks use."""
        before: dict[str, set[str]] = {name: set() for name in group.children}
        by_id = {node.id: name for name, node in group.children.items()}
        for name, child in group.children.items():
            for node in _within(child):
                for output in links.references_of(node):
                    if isinstance(output, Output):
                        used = self._find(output, node)
                        ids = [used.id, *(one.id for one in links.around(used))]
                        before[name] |= {by_id[i] for i in ids if i in by_id} - {name}
        ordered: list[Node] = []
        while before:
            ready = next((name for name, needs in before.items() if not needs & before.keys()), "")
            if not ready:
                names = ", ".join(repr(name) for name in before)
                reason = f"the tasks of {names} use each other's outputs in turn"
                refuse(reason, group.path)
            del before[ready]
            ordered.append(group.children[ready])
        return ordered

    def _group(self, group: GroupPlan, indent: int) -> list[str]:
        kwargs = self.values.kwargs(group.kwargs, self._refer(group), group.path)
        head = call(self.values.names.imported(_SDK, "TaskGroup"), [text(group.name)], kwargs)
        name = f" as {self._variable(group)}" if group.id in self._needed else ""
        written = lines(head, before="with ", after=f"{name}:", indent=indent)
        return [*written, *self._block(group, indent + INDENT)]

    def _mapped_group(self, group: GroupPlan, indent: int) -> list[str]:
        """Return a function decorated with ``@task_group``, and the call that expands it."""
        names = self.values.names
        used = {*self._names.values(), *self._parameters.values()}
        function = names.variable(group.name, "tasks", used)
        self._names[f"function of {group.id}"] = function
        parameters = self._parameters_of(group)
        kwargs = self.values.kwargs(group.kwargs, self._refer(group), group.path)
        if function != group.name:
            kwargs = {"group_id": text(group.name), **kwargs}
        decorator: Code = names.imported(_SDK, "task_group")
        decorator = call(decorator, (), kwargs) if kwargs else decorator
        margin = " " * indent
        written = lines(decorator, before="@", indent=indent)
        written.append(f"{margin}def {function}({', '.join(parameters)}):")
        written += self._block(group, indent + INDENT)
        returned = self._returned.get(group.id, [])
        if returned:
            shown = [self._variable(node) for node in returned]
            if self._is_used_itself(group):
                shown.append(self._group_of_task(group, returned))
            written += ["", f"{margin}    return {', '.join(shown)}"]
        return [*written, "", *self._expanded(group, function, returned, indent)]

    def _group_of_task(self, group: GroupPlan, returned: list[Node]) -> str:
        """Return the code of a mapped group itself, whose function returns tasks in it."""
        node = returned[0]
        code = self._variable(node)
        if isinstance(node, TaskPlan):
            code += ".operator.task_group" if node.function else ".task_group"
        between = links.around(node).index(group) + isinstance(node, GroupPlan)
        return code + ".parent_group" * between

    def _parameters_of(self, group: GroupPlan) -> list[str]:
        names = list(dict.fromkeys(mapped_arguments_of(group)))
        for node in _within(group):
            for reference in links.references_of(node):
                if isinstance(reference, Argument) and node is not group:
                    giver = next(g for g in links.around(node) if gives_argument(g, reference.name))
                    if giver is group and reference.name not in names:
                        names.append(reference.name)
        for name in names:
            if not is_name(name):
                refuse(f"{name!r} cannot be the name of a function's parameter", group.path)
            self._parameters[group.id, name] = name
        return names

    def _is_used_itself(self, group: GroupPlan) -> bool:
        return any(group in (edge.upstream, edge.downstream) for edge in self._edges)

    def _expanded(
        self, group: GroupPlan, function: str, returned: list[Node], indent: int
    ) -> list[str]:
        refer = self._refer(group)
        if group.expand is not None:
            path = (*group.path, "expand")
            given = self.values.kwargs(group.expand, refer, path)
            code = call(f"{function}.expand", (), given)
        else:
            path = (*group.path, "expand_kwargs")
            code = call(
                f"{function}.expand_kwargs", [self.values.code(group.expand_kwargs, refer, path)]
            )
        targets = [self._variable(node) for node in returned]
        if self._is_used_itself(group):
            targets.append(self._variable(group))
        before = f"{', '.join(targets)} = " if targets else ""
        return lines(code, before=before, indent=indent)

    # Tasks

    def _task(self, task: TaskPlan, indent: int) -> list[str]:
        if task.instance is not None:
            code = self._instance(task)
        elif task.function is not None:
            code = self._function_task(task)
        else:
            code = self._operator_task(task)
        if task.setup and not self._is_marked_by_teardown(task):
            code = call(attribute(code, "as_setup"))
        if task.teardown and not self._setups_here(task):
            code = self._teardown(code, task)
        before = f"{self._variable(task)} = " if task.id in self._needed else ""
        return lines(code, before=before, indent=indent)

    def _setups_here(self, task: TaskPlan) -> list[TaskPlan]:
        """Return the set-ups of a tear-down in the same group, which it marks and follows."""
        if not isinstance(task.teardown, list):
            return []
        setups = [self.plan.tasks[name] for name in task.teardown]
        return [one for one in setups if one.group is task.group]

    def _is_marked_by_teardown(self, task: TaskPlan) -> bool:
        return any(
            task in self._setups_here(one)
            for one in task.group.children.values()
            if isinstance(one, TaskPlan)
        )

    def _teardown(self, code: Code, task: TaskPlan) -> Code:
        kwargs: dict[str, Code] = {}
        setups = [self._variable(one) for one in self._setups_here(task)]
        if setups:
            kwargs["setups"] = setups[0] if len(setups) == 1 else sequence("[", setups, "]")
        if task.on_failure_fail_dagrun is not None:
            kwargs["on_failure_fail_dagrun"] = repr(task.on_failure_fail_dagrun)
        return call(attribute(code, "as_teardown"), (), kwargs)

    def _function_task(self, task: TaskPlan) -> Code:
        refer = self._refer(task)
        kwargs, function = dict(task.kwargs), cast("Any", task.function)
        if task.decorated is not None:
            own: dict[str, Any] = {} if task.makes_group else task.decorated.kwargs
            kwargs = {k: v for k, v in kwargs.items() if k not in own or own[k] is not v}
        shown = self.values.kwargs(kwargs, refer, task.path)
        if function.__name__ != task.name:
            name = "group_id" if task.makes_group else "task_id"
            shown = {name: text(task.name), **shown}
        try:
            code = self._decorated(task, shown)
        except EjectError as refusal:
            raise refusal.at((*task.path, "callable")) from refusal
        path = (*task.path, "arguments")
        arguments = self.values.kwargs(task.arguments, refer, path)
        if task.expand is None and task.expand_kwargs is None:
            return call(code, (), arguments)
        if arguments:
            code = call(attribute(code, "partial"), (), arguments)
        return self._expand(code, task)

    def _decorated(self, task: TaskPlan, kwargs: Mapping[str, Code]) -> Code:
        """Return the code of a function that becomes a task when it is called."""
        if task.decorated is not None:
            name = self.values.function(task.decorated)
            return call(f"{name}.override", (), kwargs) if kwargs else name
        decorator: Code = self.values.names.imported(_SDK, "task")
        if task.decorator != "python":
            decorator = f"{flat(decorator)}.{task.decorator}"
        decorator = call(decorator, (), kwargs) if kwargs else decorator
        return call(decorator, [self.values.function(task.function)])

    def _operator_task(self, task: TaskPlan) -> Code:
        signature = cast("Any", task.signature)
        try:
            name: Code = self.values.function(signature.operator)
        except EjectError as refusal:
            raise refusal.at((*task.path, "operator")) from refusal
        given = self.values.kwargs(task.kwargs, self._refer(task), task.path)
        kwargs = {"task_id": text(task.name), **given}
        if task.expand is None and task.expand_kwargs is None:
            return call(name, (), kwargs)
        return self._expand(call(attribute(name, "partial"), (), kwargs), task)

    def _expand(self, code: Code, task: TaskPlan) -> Code:
        refer = self._refer(task)
        if task.expand is not None:
            given = self.values.kwargs(task.expand, refer, (*task.path, "expand"))
            return call(attribute(code, "expand"), (), given)
        sets = self.values.code(task.expand_kwargs, refer, (*task.path, "expand_kwargs"))
        return call(attribute(code, "expand_kwargs"), [sets])

    def _instance(self, task: TaskPlan) -> Code:
        """Return the code of an operator that is already made: it is made of its arguments."""
        layers: list[Mapping[str, Any]] = [self.plan.kwargs["default_args"]]
        layers += [group.kwargs.get("default_args", {}) for group in links.around(task)]
        if any(layers):
            reason = (
                "an operator that is already made takes no default_args here, and would take them "
                "in the file that is written: write it as {operator: …}"
            )
            refuse(reason, task.path)
        given = airflow_internals.operator_arguments(task.instance)
        kwargs = {key: value for key, value in given.items() if key != "task_id"}
        shown = self.values.kwargs(kwargs, self._refer(task), task.path)
        name = self.values.function(type(task.instance))
        return call(name, (), {"task_id": text(task.name), **shown})


def _is_mapped(group: GroupPlan) -> bool:
    return group.expand is not None or group.expand_kwargs is not None


def _within(node: Node) -> list[Node]:
    """Return a node, and all that is in it."""
    if isinstance(node, TaskPlan):
        return [node]
    return [node, *(inner for child in node.children.values() for inner in _within(child))]
