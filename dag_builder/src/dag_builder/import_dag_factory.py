"""Converts the YAML of dag-factory (1.1, and the forms it still reads) to this library's."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from dag_builder.dag_factory_defaults import is_of_tasks_only, with_fixed_dates, without_dag_keys
from dag_builder.errors import DagError, Problem
from dag_builder.fields import TASK_FIELDS, TASK_OWN_FIELDS
from dag_builder.operators import DECORATORS, OPERATORS
from dag_builder.yaml_source import read_text

_OUTPUT = re.compile(r"^\+(?P<task>[\w.-]+)(\[['\"](?P<key>.*)['\"]\])?$")
_EXPANDED = re.compile(
    r"^(?P<task>[\w.-]+)\.output$|^XcomArg\((?P<other>[\w.-]+)\)$", re.IGNORECASE
)
_DROPPED = {
    "default_view": "Airflow 3 has no default view",
    "orientation": "Airflow 3 has no orientation",
    "sla_miss_callback": "Airflow 3 has no SLA; use 'deadline'",
}
_RENAMED = {
    "concurrency": "max_active_tasks",
    "schedule_interval": "schedule",
    "doc_md_file_path": "doc_md",
    "dagrun_timeout_sec": "dagrun_timeout",
    "retry_delay_sec": "retry_delay",
    "execution_timeout_secs": "execution_timeout",
    "max_retry_delay_sec": "max_retry_delay",
}
_CLASSES = {path.rpartition(".")[2]: name for name, path in OPERATORS.items()}
#: Classes that Airflow 3 has elsewhere.
_MOVED = {
    "airflow.datasets.Dataset": "airflow.sdk.Asset",
    "airflow.datasets.DatasetAlias": "airflow.sdk.AssetAlias",
}
#: The last part of a decorator's import path, where it is not our word for it.
_DECORATOR_WORDS = {"task": "python", "python_task": "python"}
_GROUP_ONLY = {"tooltip", "default_args", "ui_color", "ui_fgcolor", "prefix_group_id"}


@dataclass(kw_only=True)
class Converted:
    """Our dictionary of the file, and what a person should look at."""

    document: dict[str, Any]
    notes: list[str] = field(default_factory=list[str])

    def to_yaml(self) -> str:
        """The YAML file, with the notes as comments at its top."""
        comments = "".join(f"# TODO: {note}\n" for note in self.notes)
        text = yaml.safe_dump(self.document, sort_keys=False, allow_unicode=True, width=100)
        return f"{comments}{text}"


def convert_file(path: Path) -> Converted:
    """Convert one file. Raises DagError where it is no YAML, OSError where it cannot be read."""
    source = read_text(path.read_text(encoding="utf-8"), str(path), path.stem)
    if source.problems:
        raise DagError(source.problems)
    return convert(cast("Mapping[str, Any]", source.value or {}))


def convert(given: Mapping[str, Any]) -> Converted:
    """Convert the mapping of a dag-factory file: ``default`` and DAGs by their names."""
    wrong = [name for name, dag in given.items() if not isinstance(dag, Mapping | None)]
    if wrong:
        raise DagError(
            [
                Problem(
                    path=(name,), message="this is no DAG of dag-factory", valid="a mapping of keys"
                )
                for name in wrong
            ]
        )
    result = Converted(document={})
    if "default" in given:
        result.document["defaults"] = _dag(given["default"] or {}, "default", result.notes)
    result.document["dags"] = {
        name: _dag(dag, name, result.notes) for name, dag in given.items() if name != "default"
    }
    return result


def _dag(given: Mapping[str, Any], name: str, notes: list[str]) -> dict[str, Any]:
    dag: dict[str, Any] = {}
    given = with_fixed_dates(given, name, notes)
    for key, value in _without_files(given, name, notes).items():
        if is_of_tasks_only(key):
            notes.append(f"{name}: {key!r} was left out: a DAG has none, its default_args may")
        elif key in _DROPPED:
            notes.append(f"{name}: {key!r} was left out: {_DROPPED[key]}")
        elif key in {"schedule", "schedule_interval"}:
            dag["schedule"] = _schedule(value, name, notes)
        elif key == "timetable":
            dag["schedule"] = _value(value)
        elif key == "default_args":
            defaults = with_fixed_dates(value or {}, name, notes)
            if "timezone" in defaults:
                dag.setdefault("timezone", defaults.pop("timezone"))
            defaults = without_dag_keys(defaults, name, notes)
            dag[key] = _value(_renamed(_without_files(defaults, name, notes)))
        elif key not in {"tasks", "task_groups"}:
            dag[_RENAMED.get(key, key)] = _value(value)
    if "tasks" in given or "task_groups" in given:
        tasks = _by_name(given.get("tasks"), "task_id")
        groups = _by_name(given.get("task_groups"), "group_name")
        dag["tasks"] = _nested(tasks, groups, name, notes)
    return dag


def _by_name(given: Any, key: str) -> dict[str, dict[str, Any]]:
    """dag-factory takes a mapping, or a list whose items have their name in them."""
    if isinstance(given, list):
        items = cast("list[dict[str, Any]]", given)
        return {str(item[key]): {k: v for k, v in item.items() if k != key} for item in items}
    named = cast("dict[str, Any]", given or {})
    return {name: dict(item or {}) for name, item in named.items()}


def _nested(
    tasks: dict[str, dict[str, Any]],
    groups: dict[str, dict[str, Any]],
    name: str,
    notes: list[str],
) -> dict[str, Any]:
    """dag-factory names a task's group in the task; ours has the task in the group."""
    ids = {group: _group_id(group, groups) for group in groups}
    for task, given in tasks.items():
        group = given.get("task_group_name")
        ids[task] = f"{ids[group]}.{task}" if group in ids else task
    made: dict[str, Any] = {}
    inside: dict[str, dict[str, Any]] = {}
    for group, given in groups.items():
        inside[group] = {key: _value(value) for key, value in given.items() if key in _GROUP_ONLY}
        if given.get("dependencies"):
            inside[group]["upstream"] = [ids.get(one, one) for one in given["dependencies"]]
        inside[group]["tasks"] = {}
    for group, given in groups.items():
        parent = given.get("parent_group_name")
        (inside[parent]["tasks"] if parent in inside else made)[group] = inside[group]
    for task, given in tasks.items():
        group = given.get("task_group_name")
        place = inside[group]["tasks"] if group in inside else made
        place[task] = _task(given, ids, f"{name}.{task}", notes)
    return made


def _group_id(group: str, groups: Mapping[str, Mapping[str, Any]]) -> str:
    names = [group]
    while (parent := groups[names[0]].get("parent_group_name")) and parent not in names:
        names.insert(0, parent)
    return ".".join(names)


def _task(
    given: Mapping[str, Any], ids: Mapping[str, str], path: str, notes: list[str]
) -> dict[str, Any]:
    task: dict[str, Any] = {}
    given = _with_asset_names(_renamed(_without_files(given, path, notes)), path, notes)
    decorated = "decorator" in given
    if decorated:
        task["callable"] = given.get("python_callable")
        word = str(given["decorator"]).rpartition(".")[2]
        word = _DECORATOR_WORDS.get(word, word)
        if word != "python":
            task["decorator"] = word if word in DECORATORS else given["decorator"]
    elif "operator" in given:
        path_to = str(given["operator"])
        task["operator"] = _CLASSES.get(path_to.rpartition(".")[2], path_to)
    skipped = {"operator", "decorator", "dependencies", "task_group_name", "task_id"}
    for key, value in given.items():
        if key in skipped or (decorated and key == "python_callable"):
            continue
        if key == "variables_as_arguments":
            for item in value:
                task[item["attribute"]] = f"{{{{ var.value.{item['variable']} }}}}"
            continue
        converted = _references(_value(value), ids)
        own = key in TASK_FIELDS or key in TASK_OWN_FIELDS
        if decorated and not own and key not in {"expand", "partial", "python", "requirements"}:
            task.setdefault("arguments", {})[key] = converted
        else:
            task[key] = converted
    if given.get("dependencies"):
        task["upstream"] = [ids.get(one, one) for one in given["dependencies"]]
    return task


def _with_asset_names(given: Mapping[str, Any], path: str, notes: list[str]) -> dict[str, Any]:
    """dag-factory takes a file with the URIs of datasets, and the names of some of them."""
    result = dict(given)
    for key in ("inlets", "outlets"):
        value = result.get(key)
        if isinstance(value, Mapping) and "datasets" in value:
            named = cast("Mapping[str, Any]", value)
            file = named.get("file")
            notes.append(f"{path}: give the datasets of {file} their URIs under 'assets'")
            result[key] = named["datasets"]
    return result


def _renamed(given: Mapping[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(key, key): value for key, value in given.items()}


def _without_files(given: Mapping[str, Any], path: str, notes: list[str]) -> dict[str, Any]:
    """``x_name`` with ``x_file`` (a function in a file) become the import path ``x``."""
    result: dict[str, Any] = {}
    for key, value in given.items():
        if key.endswith("_name") and f"{key.removesuffix('_name')}_file" in given:
            stem = key.removesuffix("_name")
            file = Path(str(given[f"{stem}_file"]))
            result[stem] = f"{file.stem}.{value}"
            notes.append(
                f"{path}: {stem!r} is imported now: {file.parent} must be on Python's path"
            )
        elif not (key.endswith("_file") and f"{key.removesuffix('_file')}_name" in given):
            result[key] = value
    return result


def _value(value: Any) -> Any:
    """``__type__`` becomes ``$object``; everything else stays."""
    if isinstance(value, list):
        return [_value(item) for item in cast("list[Any]", value)]
    if not isinstance(value, Mapping):
        return value
    mapping = cast("Mapping[str, Any]", value)
    for old, new in (("__and__", "all"), ("__or__", "any")):
        if old in mapping:
            return {new: _value(mapping[old])}
    if "__join__" in mapping:
        return "".join(str(_value(item)) for item in mapping["__join__"])
    if mapping.get("__type__") == "builtins.list":
        return _value(mapping.get("items", []))
    rest = {k: _value(v) for k, v in mapping.items() if k not in {"__type__", "__args__"}}
    if "__type__" not in mapping:
        return rest
    if mapping["__type__"] == "datetime.timedelta" and "__args__" not in mapping:
        return {"$duration": rest}
    arguments = {"$args": _value(mapping["__args__"])} if "__args__" in mapping else {}
    path = str(mapping["__type__"])
    return {"$object": _MOVED.get(path, path), **arguments, **rest}


def _references(value: Any, ids: Mapping[str, str]) -> Any:
    """``+task``, ``+task["key"]``, ``task.output`` and ``XcomArg(task)`` become ``$output``."""
    if isinstance(value, Mapping):
        return {k: _references(v, ids) for k, v in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [_references(item, ids) for item in cast("list[Any]", value)]
    if not isinstance(value, str):
        return value
    output = _OUTPUT.match(value)
    if output and output["task"] in ids:
        key = {"key": output["key"]} if output["key"] else {}
        return {"$output": ids[output["task"]], **key}
    expanded = _EXPANDED.match(value)
    task = str(expanded["task"] or expanded["other"]) if expanded else ""
    return {"$output": ids[task]} if task in ids else value


def _schedule(value: Any, name: str, notes: list[str]) -> Any:
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    if not isinstance(value, Mapping) or "__type__" in value:
        return _value(value)
    mapping = cast("Mapping[str, Any]", value)
    datasets = mapping.get("datasets", mapping.get("assets"))
    if datasets is None:
        return _value(mapping)
    if "file" in mapping:
        notes.append(f"{name}: give the datasets of {mapping['file']} their URIs under 'assets'")
    condition = _condition(datasets, name, notes) if isinstance(datasets, str) else _value(datasets)
    if "timetable" in mapping:
        notes.append(f"{name}: check the schedule, which joins a timetable and assets")
        timetable = mapping["timetable"]
        if isinstance(timetable, Mapping):
            cron = cast("Mapping[str, Any]", timetable)
            return {"assets": condition} | {k: v for k, v in cron.items() if k != "__type__"}
        return {"assets": condition, "cron": timetable}
    return condition


def _condition(text: str, name: str, notes: list[str]) -> Any:
    """``(a & b) | c`` as ``{any: [{all: [a, b]}, c]}``."""
    uris = dict(enumerate(dict.fromkeys(re.findall(r"[A-Za-z][\w+.-]*://[\w\-/.]+", text))))
    for number, uri in uris.items():
        text = text.replace(uri, f"uri_{number}_")
    names = {f"uri_{number}_": uri for number, uri in uris.items()}
    try:
        return _condition_of(ast.parse(text.strip(), mode="eval").body, names)
    except (SyntaxError, ValueError):
        notes.append(f"{name}: the condition {text!r} was not understood")
        return text


def _condition_of(node: ast.expr, names: Mapping[str, str]) -> Any:
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
        word = "all" if isinstance(node.op, ast.BitAnd) else "any"
        parts: list[Any] = []
        for side in (node.left, node.right):
            part = _condition_of(side, names)
            inner = cast("dict[str, list[Any]]", part) if isinstance(part, dict) else {}
            parts.extend(inner.get(word, [part]))
        return {word: parts}
    raise ValueError
