"""Checks the shape of a dag-factory file before it is converted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from dag_builder.errors import closest, listed
from dag_builder.fields import DAG_FIELDS

if TYPE_CHECKING:
    from dag_builder.errors import Path, Problems

_NAMES = {"tasks": "task_id", "task_groups": "group_name"}
_MAPPINGS = ("default_args", "doc_md_python_arguments", "user_defined_macros")
_TASK_MAPPINGS = ("default_args", "expand", "partial")


def check_shape(given: object, name: str, problems: Problems) -> None:
    """Note each thing in the file `name` that dag-factory would not take either."""
    dags = cast("dict[Any, Any]", given if isinstance(given, Mapping) else {})
    if not dags:
        problems.add(
            (name,),
            "a file of dag-factory is a mapping of DAGs by their names",
            given=cast("object", given),
            valid="{sales: {tasks: {…}}}",
        )
    _check_keys(dags, (), problems)
    shared = _groups_of_default(dags.get("default"))
    if dags and not any(_may_be_dag(dag) for dag in dags.values()):
        problems.add(
            (name,),
            "none of its mappings has a key of a DAG: this is not a file of dag-factory",
            given=list(dags),
            valid="{sales: {tasks: {…}}}",
        )
        return
    for dag_id, dag in dags.items():
        if isinstance(dag, Mapping):
            _check_dag(cast("Mapping[str, Any]", dag), (str(dag_id),), problems, shared)
        elif dag is not None:
            problems.add(
                (str(dag_id),),
                "this is not a DAG of dag-factory",
                given=dag,
                valid="a mapping of keys",
            )


def _groups_of_default(default: object) -> dict[str, Mapping[str, Any]]:
    keys = cast("Mapping[str, Any]", default if isinstance(default, Mapping) else {})
    groups: object = keys.get("task_groups")
    named = cast("Mapping[str, Any]", groups if isinstance(groups, Mapping) else {})
    return {name: group or {} for name, group in named.items()}


def _may_be_dag(dag: object) -> bool:
    """Whether a mapping has a key of a DAG, or nothing at all."""
    keys = cast("Mapping[Any, Any]", dag if isinstance(dag, Mapping) else {})
    known = DAG_FIELDS.keys() | {"tasks", "task_groups", "default_args"}
    return not keys or not known.isdisjoint(keys) or not all(isinstance(k, str) for k in keys)


def _check_dag(
    dag: Mapping[str, Any],
    path: Path,
    problems: Problems,
    shared: Mapping[str, Mapping[str, Any]],
) -> None:
    """Check one DAG. `shared` are the groups that the file's ``default`` has."""
    _check_keys(dag, path, problems)
    _check_mappings(dag, _MAPPINGS, path, problems)
    groups = {**shared, **dict(_named(dag, "task_groups", path, problems))}
    for name, item in groups.items():
        inner = (*path, "task_groups", name)
        _check_item(item, "parent_group_name", groups, inner, problems)
        _check_parents(name, groups, inner, problems)
    for name, item in _named(dag, "tasks", path, problems):
        inner = (*path, "tasks", name)
        _check_item(item, "task_group_name", groups, inner, problems)
        for index, variable in enumerate(_list(item, "variables_as_arguments", inner, problems)):
            names = cast("dict[str, Any]", variable if isinstance(variable, Mapping) else {})
            if not all(isinstance(names.get(key), str) for key in ("variable", "attribute")):
                problems.add(
                    (*inner, "variables_as_arguments", index),
                    "this does not name a variable and an argument",
                    given=cast("object", variable),
                    valid="{variable: name, attribute: argument}",
                )


def _named(
    dag: Mapping[str, Any], key: str, path: Path, problems: Problems
) -> list[tuple[str, Mapping[str, Any]]]:
    """The tasks or groups that are mappings; what is wrong with the others is noted."""
    given, id_key, inner = dag.get(key), _NAMES[key], (*path, key)
    found: list[tuple[str, Mapping[str, Any]]] = []
    if given is None:
        return found
    if isinstance(given, Mapping):
        _check_keys(cast("Mapping[Any, Any]", given), inner, problems)
        for name, item in cast("Mapping[Any, Any]", given).items():
            if isinstance(item, Mapping | None):
                found.append((str(name), cast("Mapping[str, Any]", item or {})))
            else:
                problems.add((*inner, str(name)), "this must be a mapping of keys", given=item)
        return found
    if not isinstance(given, list):
        valid = f"{{name: {{…}}}}, or a list of {{{id_key}: name, …}}"
        problems.add(inner, f"{key!r} are a mapping or a list", given=given, valid=valid)
        return found
    for index, item in enumerate(cast("list[Any]", given)):
        if not isinstance(item, Mapping) or id_key not in item:
            problems.add(
                (*inner, index),
                f"an item of a list has its name under {id_key!r}",
                given=cast("object", item),
                valid=f"{{{id_key}: name, …}}",
            )
            continue
        mapping = cast("Mapping[str, Any]", item)
        name = str(mapping[id_key])
        if name in dict(found):
            problems.add((*inner, index, id_key), f"{name!r} is there twice", given=name)
        found.append((name, mapping))
    return found


def _check_item(
    item: Mapping[str, Any],
    group_key: str,
    groups: Mapping[str, Any],
    path: Path,
    problems: Problems,
) -> None:
    """What tasks and groups have in common."""
    _check_keys(item, path, problems)
    _check_mappings(item, _TASK_MAPPINGS, path, problems)
    for index, name in enumerate(_list(item, "dependencies", path, problems)):
        if not isinstance(name, str | int):
            problems.add(
                (*path, "dependencies", index), "this is not the name of a task", given=name
            )
    group = item.get(group_key)
    if group is not None and group != "" and str(group) not in groups:
        problems.add(
            (*path, group_key),
            f"there is no task group {group!r}",
            given=group,
            valid=listed(groups),
            suggestion=closest(str(group), groups),
        )


def _check_parents(
    name: str, groups: Mapping[str, Mapping[str, Any]], path: Path, problems: Problems
) -> None:
    seen = [name]
    while (parent := str(groups[seen[-1]].get("parent_group_name") or "")) in groups:
        if parent in seen:
            problems.add(
                (*path, "parent_group_name"),
                f"the groups contain each other in a cycle: {' in '.join([*seen, parent])}",
            )
            return
        seen.append(parent)


def _check_keys(given: Mapping[Any, Any], path: Path, problems: Problems) -> None:
    for key in given:
        if not isinstance(key, str):
            problems.add(
                (*path, str(key)),
                "a key is a word",
                given=cast("object", key),
                hint="bare yes, no, on and off are booleans in YAML 1.1: put them in quotes",
            )


def _check_mappings(
    given: Mapping[str, Any], keys: tuple[str, ...], path: Path, problems: Problems
) -> None:
    for key in keys:
        if not isinstance(given.get(key), Mapping | None):
            problems.add((*path, key), "this must be a mapping", given=given[key])
        elif given.get(key):
            _check_keys(given[key], (*path, key), problems)


def _list(given: Mapping[str, Any], key: str, path: Path, problems: Problems) -> list[Any]:
    value = given.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        problems.add((*path, key), "this must be a list", given=value)
        return []
    return cast("list[Any]", value)
