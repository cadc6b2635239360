"""YAML files of DAGs: one DAG (``dag_id:``) or several (``dags:``), with their defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from dag_builder import templates
from dag_builder.errors import UNEXPECTED, DagError, Path, Position, Problem, Problems, closest
from dag_builder.keys import merged
from dag_builder.yaml_source import Source, read_text

if TYPE_CHECKING:
    from pathlib import Path as FilePath

DEFAULTS_FILE = "defaults.yaml"
_FILE_KEYS = ("dags", "defaults")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One DAG of a file, with the defaults of its file and folders."""

    dag_id: str
    dictionary: Mapping[str, Any]
    defaults: Mapping[str, Any]
    locate: Callable[[Path, bool], Position | None]


@dataclass(frozen=True, kw_only=True)
class Document:
    """What a file holds, and what is wrong with the file itself."""

    file: str
    dags: tuple[Entry, ...]
    problems: tuple[Problem, ...]


def read_documents(path: FilePath, *, top: FilePath) -> Iterator[Document]:
    """The YAML file at `path`, or every one in the folder at `path`, in the order of their names.

    Defaults are read from each folder from `top` down to the file's own. Each file is read when
    it is its turn, so that no two are in memory at a time.
    """
    if path.is_dir():
        files = sorted(
            file
            for file in path.rglob("*")
            if file.suffix in {".yaml", ".yml"} and file.name != DEFAULTS_FILE
        )
        if not files:
            yield _failed(path, "there is no YAML file in this folder", str(path))
        for file in files:
            yield read_document(file, top=top)
    else:
        yield read_document(path, top=top)


def read_document(path: FilePath, *, top: FilePath) -> Document:
    """One file. Nothing is raised: what is wrong is in the document's problems."""
    problems: list[Problem] = []
    try:
        source = _source(path, problems)
        if source is None:
            return Document(file=str(path), dags=(), problems=tuple(problems))
        defaults = _folder_defaults(path.parent, top, problems)
        dags = tuple(_entries(source, path.stem, defaults, problems)) if not source.problems else ()
    except UNEXPECTED as error:
        unexpected = Problems()
        unexpected.add_unexpected((path.stem,), error, file=str(path))
        problems.extend(unexpected.found)
        dags = ()
    return Document(file=str(path), dags=dags, problems=tuple(problems))


def read_string(text: str, file: str = "<text>") -> Document:
    """DAGs from YAML text that is in no file."""
    source = read_text(text, file, file)
    problems = list(source.problems)
    dags = tuple(_entries(source, file, {}, problems)) if not problems else ()
    return Document(file=file, dags=dags, problems=tuple(problems))


def _source(path: FilePath, problems: list[Problem]) -> Source | None:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        near = [file.name for file in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        problems.append(
            Problem(
                path=(path.stem,),
                message=f"the file cannot be read: {reason}",
                given=str(path),
                suggestion=closest(path.name, near),
            )
        )
        return None
    source = read_text(text, str(path), path.stem)
    problems.extend(source.problems)
    return source


def _folder_defaults(folder: FilePath, top: FilePath, problems: list[Problem]) -> Mapping[str, Any]:
    folders = [folder]
    while folder != top and top in folder.parents:
        folder = folder.parent
        folders.append(folder)
    result: Mapping[str, Any] = {}
    for place in reversed(folders):
        file = place / DEFAULTS_FILE
        if file.is_file():
            source = _source(file, problems)
            found: Any = source.value if source is not None else None
            if isinstance(found, dict):
                value = cast("dict[str, Any]", found)
                result = merged(result, value)
    return result


def _entries(
    source: Source, name: str, defaults: Mapping[str, Any], found: list[Problem]
) -> Iterator[Entry]:
    problems = Problems(lambda path, on_key: source.locate(path[1:], on_key))
    value = cast("dict[str, Any]", source.value)
    if not isinstance(source.value, dict):
        problems.add((name,), "a file of DAGs is a mapping", valid="dag_id: … or dags: …")
    elif "dag_id" in value:
        dictionary = {key: item for key, item in value.items() if key != "dag_id"}
        yield from _instances(source, (), value["dag_id"], dictionary, defaults, found)
    elif isinstance(value.get("dags"), Mapping):
        for key in value:
            if key not in _FILE_KEYS:
                problems.add_unknown(
                    (name, str(key)),
                    f"a file with 'dags' has no {key!r}",
                    str(key),
                    _FILE_KEYS,
                    on_key=True,
                )
        joined = merged(defaults, value.get("defaults") or {})
        for dag_id, dictionary in value["dags"].items():
            yield from _instances(source, ("dags", str(dag_id)), dag_id, dictionary, joined, found)
    else:
        problems.add(
            (name,),
            "the file names no DAG",
            given=list(value),
            valid="'dag_id' for one DAG beside its other keys, or 'dags' with DAGs by their ids",
            suggestion=next(
                (s for key in value if (s := closest(str(key), ["dag_id", "dags"]))), ""
            ),
            hint=_dag_factory_hint(value),
        )
    found.extend(problems.found)


def _dag_factory_hint(value: Mapping[str, Any]) -> str:
    looks = any(isinstance(item, Mapping) and "tasks" in item for item in value.values())
    return "a file of dag-factory is converted by: dag-builder import FILE" if looks else ""


def _instances(  # noqa: PLR0917
    source: Source,
    prefix: Path,
    dag_id: Any,
    dictionary: Any,
    defaults: Mapping[str, Any],
    found: list[Problem],
) -> Iterator[Entry]:
    def locate(path: Path, on_key: bool) -> Position | None:  # noqa: FBT001
        return source.locate((*prefix, *path[1:]), on_key)

    if not isinstance(dictionary, dict) or "for_each" not in dictionary:
        given = cast("Mapping[str, Any]", dictionary)
        yield Entry(dag_id=dag_id, dictionary=given, defaults=defaults, locate=locate)
        return
    dictionary = cast("dict[str, Any]", dictionary)
    template = {key: item for key, item in dictionary.items() if key != "for_each"}
    problems = Problems(locate)
    try:
        made = templates.instances(str(dag_id), template, dictionary["for_each"], problems)
    except DagError as error:
        found.extend(error.problems)
        return
    except UNEXPECTED as error:
        problems.add_unexpected((str(dag_id),), error, file=source.file)
        found.extend(problems.found)
        return
    for name, filled in made:
        yield Entry(dag_id=name, dictionary=filled, defaults=defaults, locate=locate)


def _failed(path: FilePath, message: str, given: str) -> Document:
    problem = Problem(path=(path.name,), message=message, given=given)
    return Document(file=str(path), dags=(), problems=(problem,))
