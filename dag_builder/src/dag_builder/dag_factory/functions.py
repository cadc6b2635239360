"""Functions that dag-factory is given by file and name, by a lambda's text, or by a tag."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from dag_builder.dag_factory.text import ImportedName
from dag_builder.fields import COMMON_ARGUMENTS, DAG_FIELDS, TASK_FIELDS, Kind

#: The operator's argument, if dag-factory's word for it is another one.
_ARGUMENTS = {"success_check": "success", "failure_check": "failure"}
_LAMBDAS = {f"{stem}_lambda": stem for stem in ("response_check", "success_check", "failure_check")}


def with_functions(given: Mapping[str, Any], path: str, notes: list[str]) -> dict[str, Any]:
    """``x_name`` with ``x_file``, and ``x_lambda``, become the argument ``x``."""
    result: dict[str, Any] = {}
    for key, value in given.items():
        stem = key.removesuffix("_name")
        if stem != key and f"{stem}_file" in given:
            result[_ARGUMENTS.get(stem, stem)] = _of_file(stem, given, path, notes)
        elif key.endswith("_file") and f"{key.removesuffix('_file')}_name" in given:
            continue
        elif key in _LAMBDAS and f"{_LAMBDAS[key]}_name" in given:
            notes.append(f"{path}: {key!r} was left out: dag-factory took the function of the file")
        elif key in _LAMBDAS:
            stem = _LAMBDAS[key]
            result[_ARGUMENTS.get(stem, stem)] = _of_lambda(key, value, path, notes)
        else:
            result[key] = value
    return result


def _of_file(stem: str, given: Mapping[str, Any], path: str, notes: list[str]) -> str:
    file = Path(str(given[f"{stem}_file"]))
    notes.append(f"{path}: {stem!r} is imported now: {file.parent} must be on Python's path")
    name = f"{file.stem}.{given[f'{stem}_name']}"
    return name if _is_read_by_name(stem) else ImportedName(name)


def _is_read_by_name(key: str) -> bool:
    """Whether text is an import path there; elsewhere it would be no more than text."""
    field = TASK_FIELDS.get(key) or DAG_FIELDS.get(key)
    kind = field.kind if field else COMMON_ARGUMENTS.get(key)
    return kind in {Kind.CALLABLE, Kind.CALLBACK}


def _of_lambda(key: str, text: object, path: str, notes: list[str]) -> dict[str, Any]:
    notes.append(f"{path}: {key!r} stays a lambda, in a text; a function of a module can be tested")
    # Without names of any module, as dag-factory makes it.
    return {"__type__": "builtins.eval", "__args__": [str(text).strip(), {}]}


def with_documentation(given: Mapping[str, Any], name: str, notes: list[str]) -> dict[str, Any]:
    """Replaces a function that writes the DAG's documentation by a call of it."""
    function = "doc_md_python_callable"
    result = dict(given)
    arguments = cast("Mapping[str, Any]", result.pop("doc_md_python_arguments", None) or {})
    if function in result:
        result["doc_md"] = {"__type__": str(result.pop(function)), **arguments}
        result.pop("doc_md_file_path", None)
    elif arguments:
        notes.append(f"{name}: 'doc_md_python_arguments' was left out: there is no {function}_name")
    file = result.get("doc_md_file_path")
    if file is not None and not str(file).endswith(".md"):
        notes.append(f"{name}: 'doc_md' is read from a file that ends in .md: rename {file}")
    return result


def with_imported_macros(value: Any) -> Any:
    """Text in ``user_defined_macros`` is an import path to dag-factory."""
    if isinstance(value, Mapping):
        mapping = cast("Mapping[str, Any]", value)
        return {key: with_imported_macros(item) for key, item in mapping.items()}
    return ImportedName(value) if isinstance(value, str) else value
