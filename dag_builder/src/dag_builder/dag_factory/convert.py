"""Converts the YAML of dag-factory (1.1, and the forms it still reads) to this library's."""

from __future__ import annotations

import ast
import datetime as dt
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from dag_builder.dag_factory.arguments import (
    arguments_of_decorator,
    known_arguments,
    without_unknown,
)
from dag_builder.dag_factory.defaults import (
    is_ignored_by_dag_factory,
    is_of_tasks_only,
    with_dates_as_text,
    with_fixed_dates,
    without_dag_keys,
)
from dag_builder.dag_factory.functions import (
    with_documentation,
    with_functions,
    with_imported_macros,
)
from dag_builder.dag_factory.shape import check_shape
from dag_builder.dag_factory.text import ImportedName, comment_notes, dump, read, variable_notes
from dag_builder.dag_factory.zones import with_zone
from dag_builder.errors import DagError, Position, Problems
from dag_builder.errors import Path as PathTo
from dag_builder.fields import (
    DAG_FIELDS,
    DAG_OWN_FIELDS,
    GROUP_FIELDS,
    TASK_FIELDS,
    TASK_OWN_FIELDS,
)
from dag_builder.read.operators import DECORATORS, OPERATORS
from dag_builder.yaml.documents import yaml_files

if TYPE_CHECKING:
    from pathlib import Path

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
}
#: dag-factory ignores these since 1.0. To read them would end runs that were never ended.
_IGNORED_SECONDS = {
    "dagrun_timeout_sec": "dagrun_timeout",
    "retry_delay_sec": "retry_delay",
    "execution_timeout_secs": "execution_timeout",
    "execution_timeout_sec": "execution_timeout",
    "max_retry_delay_sec": "max_retry_delay",
    "sla_secs": "deadline",
}
#: What of a file's ``default`` is joined with each DAG here, as this library's defaults differ.
_JOINED = ("tasks", "task_groups", "tags")
_CLASSES = {path.rpartition(".")[2]: name for name, path in OPERATORS.items()} | {
    "DummyOperator": "empty",
    "SimpleHttpOperator": "http",
}
#: Classes that Airflow 3 has moved.
_MOVED = {
    "airflow.datasets.Dataset": "airflow.sdk.Asset",
    "airflow.datasets.DatasetAlias": "airflow.sdk.AssetAlias",
}
#: The last part of a decorator's import path, if this library's word for it is another one.
_DECORATOR_WORDS = {"task": "python"} | {
    path.rpartition(".")[2]: word for word, path in DECORATORS.items()
}
#: Keys of a group that dag-factory and this library share.
_GROUP_KEYS = GROUP_FIELDS.keys() - {"tasks", "upstream", "downstream", "chains"}
_GROUP_LINKS = {"dependencies", "parent_group_name", "group_name"}
_JSON = "application/json"
_DEFAULTS_FILES = ("defaults.yml", "defaults.yaml")
_ALL_KEYS = frozenset(
    {*DAG_FIELDS, *TASK_FIELDS, *DAG_OWN_FIELDS, *_DROPPED, *_RENAMED, *_IGNORED_SECONDS}
    | {"timetable", "task_groups"}
)


@dataclass(kw_only=True)
class Converted:
    """Our dictionary of the file, and what a person should look at."""

    document: dict[str, Any]
    notes: list[str] = field(default_factory=list[str])

    def to_yaml(self) -> str:
        """The YAML file, with the notes as comments at its top."""
        comments = "".join(f"# TODO: {note}\n" for note in self.notes)
        return f"{comments}{dump(self.document)}"


def convert_file(path: Path) -> Converted:
    """Convert one file. Raises DagError if it is not dag-factory's, or OSError."""
    source = read(path.read_text(encoding="utf-8"), str(path), path.stem)
    if source.problems:
        raise DagError(source.problems)
    if path.name in _DEFAULTS_FILES:
        converted = convert_defaults(source.value, path.stem)
    else:
        converted = convert(source.value, path.stem, source.locate)
        if any((path.parent / name).is_file() for name in _DEFAULTS_FILES):
            converted.notes.append(
                "dag-factory reads the folder's defaults.yml as well: import the folder"
            )
    converted.notes.extend(variable_notes(source))
    converted.notes.extend(comment_notes(source))
    return converted


def convert_folder(folder: Path) -> Iterator[tuple[Path, Converted | DagError | OSError]]:
    """Convert each YAML file of a folder and below: its path in there, and what it becomes.

    A ``defaults.yml`` becomes ``defaults.yaml``. What dag-factory would not take is an error.
    """
    for file in yaml_files(folder, with_defaults=True):
        place = file.relative_to(folder)
        if file.name in _DEFAULTS_FILES:
            place = place.with_name(_DEFAULTS_FILES[-1])
        try:
            converted = convert_file(file)
        except (DagError, OSError) as error:
            yield place, error
            continue
        converted.notes = [note for note in converted.notes if "import the folder" not in note]
        yield place, converted


def convert(
    given: Mapping[str, Any],
    file: str = "the file",
    locate: Callable[[PathTo, bool], Position | None] | None = None,
) -> Converted:
    """Convert the mapping of a dag-factory file: ``default`` and DAGs by their names.

    Raises DagError with every mistake in it; `locate` finds their places in the file.
    """
    problems = Problems(locate)
    check_shape(given, file, problems)
    problems.raise_any()
    result = Converted(document={})
    default = cast("dict[str, Any]", given.get("default") or {})
    known = known_arguments(given)
    shared = {key: value for key, value in default.items() if key not in _JOINED}
    if shared:
        result.document["defaults"] = _dag(shared, "default", result.notes, known)
    if "task_groups" in given:
        result.notes.append("task_groups: left out: dag-factory uses it for none of the DAGs")
    result.document["dags"] = {
        str(name): _dag(with_default(dag or {}, default), str(name), result.notes, known, default)
        for name, dag in given.items()
        if name not in {"default", "task_groups"}
    }
    return result


def convert_defaults(given: object, name: str) -> Converted:
    """Convert the mapping of a ``defaults.yml``, which holds keys of a DAG."""
    problems = Problems()
    if not isinstance(given, Mapping):
        problems.add((name,), "defaults are a mapping of a DAG's keys", given=given)
        problems.raise_any()
    result = Converted(document={})
    default = cast("Mapping[str, Any]", given)
    if "tags" in default:
        result.notes.append(f"{name}: 'tags' are added to a DAG's own, which replaced them before")
    result.document = _dag(default, name, result.notes, None)
    return result


def with_default(dag: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """A DAG with the tasks, groups and tags of the file's ``default``, as dag-factory joins them.

    Mappings are joined, and a list replaces one.
    """
    result = dict(dag)
    for key in _JOINED:
        if key in default:
            result[key] = _joined(dag.get(key), default[key]) if key in dag else default[key]
    return result


def _joined(own: Any, default: Any) -> Any:
    if not (isinstance(own, Mapping) and isinstance(default, Mapping)):
        return cast("Any", own)
    near, far = cast("dict[str, Any]", own), cast("dict[str, Any]", default)
    missing = {key: value for key, value in far.items() if key not in near}
    joined = {key: _joined(value, far[key]) if key in far else value for key, value in near.items()}
    return joined | missing


def _dag(
    given: Mapping[str, Any],
    name: str,
    notes: list[str],
    known: frozenset[str] | None,
    default: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Convert one DAG. `known` are the arguments that the file's operators take, if it is known."""
    given, zone = with_zone(given, default or {}, name, notes)
    dag: dict[str, Any] = {"timezone": zone} if zone else {}
    given = with_functions(with_fixed_dates(given, name, notes), name, notes)
    given = with_documentation(given, name, notes)
    for key, value in given.items():
        if _is_left_out(key, value, name, notes):
            continue
        if key == "default_args":
            _add_default_args(dag, value or {}, name, notes, known)
        elif key not in {"tasks", "task_groups"}:
            new = "schedule" if key == "timetable" else _RENAMED.get(key, key)
            dag[new] = _of_dag(key, value, name, notes)
    if "tasks" in given or "task_groups" in given:
        tasks = _by_name(given.get("tasks"), "task_id")
        groups = _by_name(given.get("task_groups"), "group_name")
        dag["tasks"] = _nested(tasks, groups, name, notes)
        if not dag["tasks"]:
            notes.append(f"{name}: it has no task, which is a mistake here")
    return dag


def _is_left_out(key: str, value: Any, name: str, notes: list[str]) -> bool:
    """Whether a key of a DAG has no meaning here, which is noted."""
    if key == "dag_id" and value == name:
        return True
    if key in _IGNORED_SECONDS:
        notes.append(_ignored_note(name, key))
    elif key in _DROPPED:
        notes.append(f"{name}: {key!r} was left out: {_DROPPED[key]}")
    elif is_of_tasks_only(key):
        notes.append(f"{name}: {key!r} was left out: a DAG has none, its default_args may")
    elif key not in _ALL_KEYS:
        notes.append(f"{name}: {key!r} was left out: dag-factory did not read it")
    else:
        if is_ignored_by_dag_factory(key):
            notes.append(f"{name}: {key!r} takes effect from now on: dag-factory did not read it")
        return False
    return True


def _ignored_note(path: str, key: str) -> str:
    return (
        f"{path}: {key!r} was left out: dag-factory ignores it since 1.0; "
        f"to have it, write {_IGNORED_SECONDS[key]!r}"
    )


def _of_dag(key: str, value: Any, name: str, notes: list[str]) -> Any:
    if key in {"schedule", "schedule_interval"}:
        return _schedule(value, name, notes)
    if key == "params" and isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return {param: _param(item) for param, item in items}
    return _value(with_imported_macros(value) if key == "user_defined_macros" else value)


def _param(value: Any) -> Any:
    """A plain mapping stays one, though its keys are those of a schema."""
    plain = isinstance(value, Mapping) and "__type__" not in value
    if plain and not {"type", "default"}.isdisjoint(cast("Mapping[str, Any]", value)):
        return {"default": _value(value)}
    return _value(value)


def _add_default_args(
    dag: dict[str, Any],
    given: Mapping[str, Any],
    name: str,
    notes: list[str],
    known: frozenset[str] | None,
) -> None:
    defaults = with_fixed_dates(given, name, notes)
    for key in _IGNORED_SECONDS.keys() & defaults.keys():
        notes.append(_ignored_note(f"{name}.default_args", key))
        del defaults[key]
    defaults = without_dag_keys(defaults, name, notes)
    defaults = without_unknown(defaults, known, name, notes)
    dag["default_args"] = _value(_renamed(with_functions(defaults, name, notes)))


def _by_name(given: Any, key: str) -> dict[str, dict[str, Any]]:
    """dag-factory takes a mapping, or a list whose items have their name in them."""
    if isinstance(given, list):
        items = cast("list[dict[str, Any]]", given)
        return {str(item[key]): {k: v for k, v in item.items() if k != key} for item in items}
    named = cast("dict[str, Any]", given or {})
    return {str(name): dict(item or {}) for name, item in named.items()}


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
        inside[group] = _group(given, f"{name}.{group}", notes)
        if given.get("dependencies"):
            inside[group]["upstream"] = _upstream(given, ids)
        inside[group]["tasks"] = {}
    for group, given in groups.items():
        parent = given.get("parent_group_name")
        (inside[parent]["tasks"] if parent in inside else made)[group] = inside[group]
    for task, given in tasks.items():
        group = given.get("task_group_name")
        place = inside[group]["tasks"] if group in inside else made
        place[task] = _task(given, ids, f"{name}.{task}", notes)
    return _without_empty_groups(made, name, notes)


def _without_empty_groups(
    nodes: Mapping[str, dict[str, Any]], path: str, notes: list[str]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, node in nodes.items():
        if "tasks" in node:
            inside = _without_empty_groups(node["tasks"], f"{path}.{name}", notes)
            if not inside:
                notes.append(f"{path}.{name}: the group was left out: there is no task in it")
                continue
            result[name] = {**node, "tasks": inside}
        else:
            result[name] = node
    return result


def _group(given: Mapping[str, Any], path: str, notes: list[str]) -> dict[str, Any]:
    """A group without what is in it and what it waits for."""
    made: dict[str, Any] = {}
    for key, value in given.items():
        if key == "default_args" and value is not None:
            defaults = with_dates_as_text(with_functions(value, path, notes))
            made[key] = _value(_renamed(defaults))
        elif key in _GROUP_KEYS:
            made[key] = _value(value)
        elif key not in _GROUP_LINKS:
            notes.append(f"{path}: {key!r} was left out: a group has none here")
    return made


def _upstream(given: Mapping[str, Any], ids: Mapping[str, str]) -> list[str]:
    return [ids.get(str(one), str(one)) for one in given["dependencies"]]


def _group_id(group: str, groups: Mapping[str, Mapping[str, Any]]) -> str:
    names = [group]
    while (parent := groups[names[0]].get("parent_group_name")) and parent not in names:
        names.insert(0, parent)
    return ".".join(names)


def _task(
    given: Mapping[str, Any], ids: Mapping[str, str], path: str, notes: list[str]
) -> dict[str, Any]:
    given = _with_json(with_dates_as_text(with_functions(given, path, notes)), path, notes)
    given = _with_asset_names(_renamed(given), path, notes)
    task, of_decorator = _kind_of_task(given, path, notes)
    decorated = "decorator" in given
    skipped = {"operator", "decorator", "dependencies", "task_group_name", "task_id"}
    for key, value in given.items():
        if key in skipped or (decorated and key == "python_callable"):
            continue
        if key == "variables_as_arguments":
            for item in cast("list[Mapping[str, str]]", value or []):
                task[item["attribute"]] = f"{{{{ var.value.{item['variable']} }}}}"
                notes.append(
                    f"{path}: {item['attribute']!r} is a template of the variable now, which the "
                    "operator must render, and which must be there"
                )
            continue
        if key in _IGNORED_SECONDS:
            notes.append(_ignored_note(path, key))
            continue
        # Elsewhere '+task' is text to dag-factory.
        referring = decorated or key in {"expand", "partial"}
        converted = _references(_value(value), ids) if referring else _value(value)
        if key == "params":
            converted = _of_dag(key, value, path, notes)
        own = key in TASK_FIELDS or key in TASK_OWN_FIELDS or key in of_decorator
        if decorated and not own and key not in {"expand", "partial", "python", "requirements"}:
            task.setdefault("arguments", {})[key] = converted
        else:
            task[key] = converted
    if given.get("dependencies"):
        task["upstream"] = _upstream(given, ids)
    return task


def _kind_of_task(
    given: Mapping[str, Any], path: str, notes: list[str]
) -> tuple[dict[str, Any], frozenset[str]]:
    """What makes the task, and the arguments that its decorator takes."""
    task: dict[str, Any] = {}
    if "decorator" not in given:
        if "operator" in given:
            path_to = str(given["operator"])
            task["operator"] = _CLASSES.get(path_to.rpartition(".")[2], path_to)
        return task, frozenset()
    function = given.get("python_callable")
    task["callable"] = None if function is None else str(function)
    last = str(given["decorator"]).rpartition(".")[2]
    word = _DECORATOR_WORDS.get(last, last.removesuffix("_task"))
    if word != "python":
        task["decorator"] = word
    of_decorator = arguments_of_decorator(word, function, given.keys())
    if of_decorator is None:
        notes.append(
            f"{path}: move the arguments of @task.{word} out of 'arguments': its package is not "
            "installed here, so they cannot be distinguished from those of the function"
        )
    return task, of_decorator or frozenset()


def _with_json(given: Mapping[str, Any], path: str, notes: list[str]) -> dict[str, Any]:
    """dag-factory sends the data of an HttpOperator as JSON if its header names JSON."""
    result = dict(given)
    headers, data = result.get("headers"), result.get("data")
    is_http = str(result.get("operator")).endswith("HttpOperator")
    if is_http and isinstance(headers, Mapping) and isinstance(data, Mapping):
        kind = str(cast("Mapping[str, Any]", headers).get("Content-Type", ""))
        if _JSON in kind.lower():
            result["data"] = json.dumps(data)
            notes.append(f"{path}: 'data' is text in JSON now, in which templates are rendered")
    return result


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


def _value(value: Any) -> Any:
    """``__type__`` becomes ``$object``, a name ``$import``; everything else stays."""
    if isinstance(value, list):
        return [_value(item) for item in cast("list[Any]", value)]
    return (
        _mapping(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else _word(value)
    )


def _word(value: Any) -> Any:
    if isinstance(value, ImportedName):
        return {"$import": str(value)}
    if isinstance(value, dt.date):  # a datetime is one as well
        path = f"datetime.{type(value).__name__}.fromisoformat"
        return {"$object": path, "$args": [value.isoformat()]}
    return value


def _mapping(mapping: Mapping[str, Any]) -> dict[str, Any] | list[Any] | str:
    for old, new in (("__and__", "all"), ("__or__", "any")):
        if old in mapping:
            return {new: _value(mapping[old])}
    if isinstance(mapping.get("__join__"), list):
        return "".join(str(_value(item)) for item in mapping["__join__"])
    if mapping.get("__type__") == "builtins.list":
        return _value(mapping.get("items", []))
    rest = {
        f"${key}" if str(key)[:1] == "$" else key: _value(item)
        for key, item in mapping.items()
        if key not in {"__type__", "__args__"}
    }
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
    if isinstance(value, str) and value.strip().lower() in {"none", ""}:
        return None
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [_value(item) for item in items if item and str(item).strip()]
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
