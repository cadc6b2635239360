"""Reads a whole dictionary into a DagPlan, noting every mistake on the way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, cast

from dag_builder.errors import NOTHING, UNEXPECTED, DagError, Path, Problems
from dag_builder.fields import DAG_FIELDS, DAG_OWN_FIELDS, GROUP_FIELDS, Kind
from dag_builder.plan import DagPlan, GroupPlan
from dag_builder.read import links, schedules, times
from dag_builder.read.defaults import check_default_args, read_default_args, read_operator_defaults
from dag_builder.read.expansion import read_mapping
from dag_builder.read.keys import DAG_ID, DAG_ID_FORM, dag_keys, merged, refuse_unknown
from dag_builder.read.notifications import (
    CALLBACKS,
    DEADLINE,
    NOTIFY,
    OF_TASKS,
    callbacks_of,
    finish_default_args,
    with_notices,
)
from dag_builder.read.task_context import TaskContext
from dag_builder.read.tasks import read_links, read_task
from dag_builder.read.values import Reader
from dag_builder.references import references_in

if TYPE_CHECKING:
    from types import ModuleType

    from dag_builder.read.notifications import Notice
    from dag_builder.read.origins import Origins

_GROUP_KEYS = frozenset(GROUP_FIELDS)
#: Keys of a group that are read apart from Airflow's own arguments.
_GROUP_OWN = frozenset(
    {"tasks", "upstream", "downstream", "default_args", "expand", "expand_kwargs", "chains"}
)
#: Keys of a DAG that are not handed to Airflow's DAG class.
_OWN = frozenset(DAG_OWN_FIELDS) - {"default_args"}


def parse_dag(
    dag_id: str,
    dictionary: Mapping[str, Any],
    *,
    problems: Problems,
    namespace: Mapping[str, Any] | ModuleType | None = None,
    defaults: Mapping[str, Any] | None = None,
    folder: FilePath | None = None,
    origins: Origins | None = None,
) -> DagPlan:
    """Read one DAG. The plan must be built only if `problems` stayed empty.

    `namespace` gives the tasks that the dictionary only names. `defaults` is a dictionary of DAG
    keys that `dictionary` goes over. Files are found relative to `folder`. `origins` keeps how
    values are made, if it is given.
    """
    reader = Reader(problems, namespace, origins)
    return _DagParser(dag_id, reader, folder).parse(dictionary, defaults or {})


class _DagParser:
    def __init__(
        self,
        dag_id: str,
        reader: Reader,
        folder: FilePath | None,
    ) -> None:
        self.problems = reader.problems
        self.reader = reader
        self.folder = folder
        self.path: Path = (str(dag_id),)
        root = GroupPlan(id="", name="", path=self.path, parent=None)
        self.plan = DagPlan(dag_id=dag_id, kwargs={}, root=root)
        self.context = TaskContext(reader=self.reader, plan=self.plan)
        self.chains: list[tuple[Any, GroupPlan, Path]] = []

    def parse(self, given: object, defaults: Mapping[str, Any]) -> DagPlan:
        dag_id = cast("object", self.plan.dag_id)
        if not isinstance(dag_id, str) or not DAG_ID.fullmatch(dag_id):
            self.problems.add(
                self.path,
                "this is not a valid name for a DAG",
                given=dag_id,
                valid=DAG_ID_FORM,
            )
        if not isinstance(given, Mapping):
            self.problems.add(
                self.path, "a DAG is a dictionary", given=given, valid="{task: [upstream]}"
            )
            return self.plan
        full = self._full_form(cast("Mapping[str, Any]", given))
        if full is not None:
            self._dag(merged(defaults, full))
        return self.plan

    def _full_form(self, dictionary: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The full form of a short one; a full one as it is; None for neither."""
        given_tasks = dictionary.get("tasks")
        if isinstance(given_tasks, Mapping):
            return dictionary
        structural = all(
            value is None or isinstance(value, str | list | tuple) for value in dictionary.values()
        )
        if structural and "tasks" in dictionary:  # a task of that name, or the full form's key?
            links = [given_tasks] if isinstance(given_tasks, str) else given_tasks
            structural = links is not None and all(isinstance(link, str) for link in links)
        if structural and not (dictionary.keys() & (DAG_FIELDS.keys() - {"tags"})):
            return {"tasks": dictionary}
        if "tasks" in dictionary:
            self.problems.add(
                (*self.path, "tasks"),
                "tasks is a mapping of names to tasks",
                given=given_tasks,
                valid="{tasks: {extract: {operator: bash, …}}}",
            )
        else:
            self.problems.add(
                self.path,
                "a full dictionary has the key 'tasks', a short one only lists of upstream names",
                given=list(dictionary),
                valid="{tasks: {extract: {…}}} or {extract: [], load: [extract]}",
            )
        return None

    def _dag(self, dictionary: Mapping[str, Any]) -> None:
        unknown = dictionary.keys() - dag_keys()
        if unknown:
            ordered = [key for key in dictionary if key in unknown]
            refuse_unknown(
                self.problems,
                self.path,
                "a DAG",
                ordered,
                dag_keys() - {"for_each"},
                first=[*DAG_OWN_FIELDS, *DAG_FIELDS],
            )
        if "for_each" in dictionary:
            self.problems.add(
                (*self.path, "for_each"),
                "'for_each' makes many DAGs, and this is one",
                given=dictionary["for_each"],
                valid="build_dags(dag_id, dictionary, for_each=…), or the key of a DAG in YAML",
                on_key=True,
            )
        self._timezone(dictionary.get("timezone"))
        self._assets(dictionary.get("assets"))
        notices = self._notices(dictionary)
        kwargs = self.plan.kwargs
        for key, value in dictionary.items():
            if key in _OWN or key in unknown or key == "default_args":
                continue
            field = DAG_FIELDS.get(key)
            found = self.reader.read(field.kind if field else Kind.ANY, value, (*self.path, key))
            if found is not NOTHING:
                kwargs[key] = found
        for event in ("failure", "success"):
            added = callbacks_of(notices, event)
            if added:
                kwargs[CALLBACKS[event]] = with_notices(kwargs.get(CALLBACKS[event]), added)
        self._check_dates(kwargs)
        self._refuse_references(kwargs)
        if "doc_md" in kwargs:
            self._documentation(kwargs)
        default_args = read_default_args(self.context, dictionary.get("default_args"), self.path)
        kwargs["default_args"] = default_args
        if dictionary.get("timezone") is not None:
            self._schedule_in_timezone(kwargs)
        read_operator_defaults(self.context, dictionary.get("operator_defaults"), self.path)
        self._children(self.plan.root, dictionary["tasks"], frozenset(default_args))
        self.chains.append((dictionary.get("chains"), self.plan.root, self.path))
        check_default_args(self.context)
        finish_default_args(self.context)
        links.connect(self.plan, self.problems, self.context.references, self.chains)

    def _notices(self, dictionary: Mapping[str, Any]) -> list[Notice]:
        """Read the DAG's notify; what is of its tasks and deadlines is kept for these."""
        path = (*self.path, NOTIFY)
        read = self.reader.read(Kind.NOTIFY, dictionary.get(NOTIFY), path)
        if read is NOTHING:
            self.reader.of_deadlines = [NOTHING]  # so that no deadline lacks a callback
            return []
        found: list[Notice] = read or []
        late = [notice for notice in found if notice.event == DEADLINE]
        self.reader.of_deadlines = [notice.callback for notice in late]
        self.context.notices_of_tasks = [one for one in found if one.event in OF_TASKS]
        self.context.layered |= bool(self.context.notices_of_tasks)
        if late and not dictionary.get("deadline"):
            self.problems.add(
                late[0].path[:-1],
                "the DAG has no deadline that a run could miss",
                given=DEADLINE,
                valid="deadline: {reference: dagrun_queued_at, interval: 1h}, beside notify",
            )
        return found

    def _check_dates(self, kwargs: Mapping[str, Any]) -> None:
        first, last = kwargs.get("start_date"), kwargs.get("end_date")
        # A ready-made object ({$object: …}) may be anything; Airflow checks it.
        if not (isinstance(first, datetime) and isinstance(last, datetime)):
            return
        if first.tzinfo and last.tzinfo and last < first:
            self.problems.add(
                (*self.path, "end_date"),
                "the last moment is before the first, so it would never run",
                given=last.isoformat(),
                valid=f"a moment after start_date, {first.isoformat()}",
            )

    def _refuse_references(self, kwargs: Mapping[str, Any]) -> None:
        for reference, path in references_in(kwargs, self.path):
            self.problems.add(
                path,
                "a task's output cannot be used here: this is made before any task runs",
                given=reference,
            )

    def _schedule_in_timezone(self, kwargs: dict[str, Any]) -> None:
        """Apply the DAG's timezone to a plain cron, whatever the zone of its start_date."""
        first = kwargs.get("start_date") or kwargs["default_args"].get("start_date")
        dag_zone = first.tzinfo if isinstance(first, datetime) else None
        if "schedule" in kwargs:
            zone = times.zone(self.reader.timezone)
            kwargs["schedule"] = schedules.in_timezone(kwargs["schedule"], zone, dag_zone)

    def _timezone(self, name: object) -> None:
        if name is None:
            return
        if self.reader.is_zone(name, (*self.path, "timezone")):
            self.reader.timezone = name

    def _assets(self, given: object) -> None:
        path = (*self.path, "assets")
        if given is None:
            return
        if not isinstance(given, Mapping):
            self.problems.add(path, "this must be a mapping of names to assets", given=given)
            return
        from dag_builder.read.assets import read_asset

        for name, value in cast("Mapping[str, Any]", given).items():
            named = value
            if isinstance(value, dict) and "$object" not in value:
                named = {"name": name, **cast("dict[str, Any]", value)}
            if isinstance(value, str):
                named = {"name": name, "uri": value}
            self.reader.assets[name] = read_asset(self.reader, named, (*path, name))

    def _documentation(self, kwargs: dict[str, Any]) -> None:
        """Find a .md file beside the DAG's file; Airflow would look in the working directory."""
        text = kwargs["doc_md"]
        if not isinstance(text, str) or not text.endswith(".md") or "\n" in text:
            return
        file = (self.folder or FilePath()) / text
        try:
            kwargs["doc_md"] = file.read_text(encoding="utf-8")
        except OSError as error:
            self.problems.add(
                (*self.path, "doc_md"),
                f"the file cannot be read: {error.strerror}",
                given=text,
                valid=f"Markdown text, or a .md file's path from {file.parent}",
            )

    # Tasks and groups

    def _children(
        self, group: GroupPlan, given: Mapping[str, Any], defaults: Collection[str]
    ) -> None:
        path = (*group.path, "tasks")
        if not given:
            self.problems.add(path, "there is no task in it", valid="at least one task")
        for name, value in given.items():
            inner = (*path, str(name))
            if not self._good_name(name, inner):
                continue
            if isinstance(value, Mapping) and "tasks" in value:
                self._group(name, cast("Mapping[str, Any]", value), group, inner, defaults)
                continue
            try:
                task = read_task(self.context, name, value, group, inner, defaults=defaults)
            except UNEXPECTED as error:
                self.problems.add_unexpected(inner, error)
                raise DagError(self.problems.found) from error
            group.children[name] = task
            self._add(task.id, inner, lambda task=task: self.plan.tasks.__setitem__(task.id, task))

    def _good_name(self, name: object, path: Path) -> bool:
        if isinstance(name, str) and DAG_ID.fullmatch(name):
            return True
        self.problems.add(
            path,
            "this is not a valid name for a task",
            given=name,
            valid="letters, digits, dashes, dots and underscores, as text",
            on_key=True,
        )
        return False

    def _add(self, node_id: str, path: Path, add: Callable[[], None]) -> None:
        if node_id in self.plan.tasks or node_id in self.plan.groups:
            self.problems.add(
                path,
                f"the DAG has {node_id!r} twice",
                hint="groups with prefix_group_id: false share their DAG's names",
                on_key=True,
            )
        add()

    def _group(
        self,
        name: str,
        given: Mapping[str, Any],
        parent: GroupPlan,
        path: Path,
        defaults: Collection[str],
    ) -> None:
        unknown = [key for key in given if key not in _GROUP_KEYS]
        refuse_unknown(self.problems, path, "a group", unknown, _GROUP_KEYS, first=GROUP_FIELDS)
        if "." in name:
            self.problems.add(path, "a group's name has no dots", given=name, on_key=True)
        group = GroupPlan(id=parent.child_id(name), name=name, path=path, parent=parent)
        for key in given:
            if key in _GROUP_OWN or key not in _GROUP_KEYS:
                continue
            found = self.reader.read(GROUP_FIELDS[key].kind, given[key], (*path, key))
            if found is not NOTHING and found is not None:
                group.kwargs[key] = found
        group.id = parent.child_id(name)
        default_args = read_default_args(self.context, given.get("default_args"), path)
        if default_args:
            group.kwargs["default_args"] = default_args
        parent.children[name] = group
        self._add(group.id, path, lambda: self.plan.groups.__setitem__(group.id, group))
        read_mapping(self.context, group, given, path)
        read_links(self.context, group, parent, given, path)
        children = given["tasks"]
        if isinstance(children, Mapping):
            inherited = {*defaults, *default_args} if default_args else defaults
            self._children(group, cast("Mapping[str, Any]", children), inherited)
        else:
            self.problems.add(
                (*path, "tasks"), "this must be a mapping of names to tasks", given=children
            )
        self.chains.append((given.get("chains"), group, path))
