"""YAML files of DAGs: one DAG (``dag_id:``) or several (``dags:``), with their defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from dag_builder import airflow_internals
from dag_builder.errors import UNEXPECTED, Path, Position, Problem, Problems, closest
from dag_builder.read import templates
from dag_builder.read.keys import merged
from dag_builder.yaml.source import Source, read_text

if TYPE_CHECKING:
    from pathlib import Path as FilePath

#: Both endings: dag-factory's is the other one, and a file that is not read is a silent mistake.
DEFAULTS_FILES = ("defaults.yaml", "defaults.yml")
#: Keys at the top of a file that begin with this are for the author's YAML anchors.
_FREE = "x-"
_IGNORE_FILE = ".airflowignore"
_FILE_KEYS = ("dags", "defaults")
#: A file with one of these keys is meant to hold DAGs, valid or not.
_DAG_KEYS = ("dag_id", "dags", "tasks", "for_each")
_DAG_LINE = re.compile(rf"^({'|'.join(_DAG_KEYS)})[ \t]*:", re.MULTILINE)
#: What the path of a DAG in a file of several looks like.
_OF_A_DAG = ("dags", "<its id>")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One DAG of a file, with the defaults of its file and folders.

    `problems` are those of its text alone. If it `lacks_defaults` because they cannot be read,
    no other problems are reported, and it must not be built without them.
    """

    dag_id: str
    dictionary: Mapping[str, Any]
    defaults: Mapping[str, Any]
    locate: Callable[[Path, bool], Position | None]
    problems: tuple[Problem, ...] = ()
    lacks_defaults: bool = False


@dataclass(frozen=True, kw_only=True)
class Document:
    """What a file holds, and what is wrong with the file itself."""

    file: str
    dags: tuple[Entry, ...]
    problems: tuple[Problem, ...]


def read_documents(path: FilePath, *, top: FilePath) -> Iterator[Document]:
    """The YAML file at `path`, or every one in the folder at `path`, in the order of their names.

    Defaults are read from each folder from `top` down to the file's own. Files are read one at a
    time, so that no two are in memory at once.
    """
    if path.is_dir():
        files = [file for file in yaml_files(path) if holds_dags(file)]
        if not files:
            yield _failed(path, "there is no YAML file of DAGs in this folder", str(path))
        for file in files:
            yield read_document(file, top=top)
    else:
        yield read_document(path, top=top)


def yaml_files(folder: FilePath, *, with_defaults: bool = False) -> list[FilePath]:
    """The YAML files of a folder and below that .airflowignore does not name."""
    if any(folder.rglob(_IGNORE_FILE)):
        found: Iterable[FilePath] = airflow_internals.files_not_ignored(folder)
    else:
        found = folder.rglob("*")
    return sorted(
        file
        for file in found
        if file.suffix in {".yaml", ".yml"}
        and (with_defaults or file.name not in DEFAULTS_FILES)
        and file.is_file()
    )


def holds_dags(path: FilePath) -> bool:
    """Whether a YAML file is meant for this library, so that what is wrong in it is a mistake.

    A file that is not valid YAML is searched line by line. One that cannot be read may be meant.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    source = read_text(text, str(path), path.stem)
    if source.value is None and source.problems:
        return _DAG_LINE.search(text) is not None
    value = cast("object", source.value)
    return isinstance(value, dict) and any(key in value for key in _DAG_KEYS)


def read_document(path: FilePath, *, top: FilePath) -> Document:
    """One file. Nothing is raised: what is wrong is in the document's problems."""
    problems: list[Problem] = []
    try:
        source = _source(path, problems)
        if source is None:
            return Document(file=str(path), dags=(), problems=tuple(problems))
        defaults = _folder_defaults(path.parent, top)
        dags = tuple(_File(source, path.stem, defaults, problems).entries())
    except UNEXPECTED as error:
        unexpected = Problems()
        unexpected.add_unexpected((path.stem,), error, file=str(path))
        problems.extend(unexpected.found)
        dags = ()
    return Document(file=str(path), dags=dags, problems=tuple(problems))


def read_string(text: str, file: str = "<text>") -> Document:
    """DAGs from YAML text that is in no file."""
    source = read_text(text, file, file)
    problems: list[Problem] = []
    dags = tuple(_File(source, file, _Defaults(), problems).entries())
    return Document(file=file, dags=dags, problems=tuple(problems))


def _source(path: FilePath, problems: list[Problem]) -> Source | None:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        there = path.exists()
        near = [file.name for file in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        problems.append(
            Problem(
                path=(path.stem,),
                message=f"the file cannot be read: {_reason(error)}",
                given=str(path),
                suggestion="" if there else closest(path.name, near),
            )
        )
        return None
    return read_text(text, str(path), path.stem)


@dataclass(kw_only=True)
class _Defaults:
    """The defaults of a DAG: their value, the texts they are from (near to far), their mistakes."""

    value: Mapping[str, Any] = field(default_factory=dict[str, Any])
    places: list[tuple[Source, Path]] = field(default_factory=list["tuple[Source, Path]"])
    problems: list[Problem] = field(default_factory=list[Problem])

    def add(self, value: object, source: Source, path: Path, name: str) -> None:
        """Nearer defaults go over these."""
        if isinstance(value, Mapping):
            self.value = merged(self.value, cast("Mapping[str, Any]", value))
            self.places.insert(0, (source, path))
        elif value is not None:
            problems = Problems(lambda _, on_key: source.locate(path, on_key))
            problems.add(
                (name, *path),
                "defaults are a mapping of a DAG's keys",
                given=value,
                valid="{default_args: {retries: 2}}",
            )
            self.problems.extend(problems.found)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, OSError):
        return str(error.strerror)
    line = error.object.count(b"\n", 0, error.start) + 1
    return f"it is not in UTF-8 (line {line}, byte {error.object[error.start]:#04x})"


def _folder_defaults(folder: FilePath, top: FilePath) -> _Defaults:
    folders = [folder]
    while folder != top and top in folder.parents:
        folder = folder.parent
        folders.append(folder)
    defaults = _Defaults()
    for place in reversed(folders):
        files = [place / name for name in DEFAULTS_FILES if (place / name).is_file()]
        if len(files) > 1:
            defaults.problems.append(
                Problem(
                    path=(place.name,),
                    message=f"the folder has both {' and '.join(DEFAULTS_FILES)}",
                    given=str(place),
                    hint="keep one of them",
                )
            )
        for file in files:
            source = _source(file, defaults.problems)
            if source is not None:
                defaults.problems.extend(source.problems)
                defaults.add(source.value, source, (), file.name)
    return defaults


class _File:
    """The DAGs of one file; what is wrong with the file itself goes to `found`."""

    def __init__(
        self, source: Source, name: str, defaults: _Defaults, found: list[Problem]
    ) -> None:
        self.source = source
        self.name = name
        self.defaults = defaults
        self.found = found

    def entries(self) -> Iterator[Entry]:
        problems = Problems(lambda path, on_key: self.source.locate(path[1:], on_key))
        value = _without_free_keys(self.source.value)
        if not isinstance(self.source.value, dict):
            self.found.extend(self.source.problems)
            if not self.source.problems:
                valid = "dag_id: … or dags: …"
                problems.add((self.name,), "a file of DAGs is a mapping", valid=valid)
        elif "dag_id" in value:
            dictionary = {key: item for key, item in value.items() if key != "dag_id"}
            yield from self._dag((), value["dag_id"], dictionary)
        elif "dags" in value and not isinstance(value["dags"], Mapping):
            self.found.extend(self.source.problems)
            problems.add(
                (self.name, "dags"),
                "'dags' is a mapping of DAGs by their ids",
                given=value["dags"],
                valid="{dags: {sales: {tasks: {…}}}}",
            )
        elif "dags" in value:
            yield from self._dags(value, problems)
        else:
            self.found.extend(self.source.problems)
            problems.add(
                (self.name,),
                "the file does not name a DAG",
                given=list(value),
                valid="'dag_id' for one DAG beside its other keys, or 'dags' with DAGs by their "
                "ids",
                suggestion=next(
                    (s for key in value if (s := closest(str(key), ["dag_id", "dags"]))), ""
                ),
                hint=_dag_factory_hint(value),
            )
        self.found.extend(problems.found)

    def _dags(self, value: Mapping[str, Any], problems: Problems) -> Iterator[Entry]:
        for key in value:
            if key not in _FILE_KEYS:
                problems.add_unknown(
                    (self.name, str(key)),
                    f"a file with 'dags' has no {key!r}",
                    str(key),
                    _FILE_KEYS,
                    on_key=True,
                )
        if not value["dags"]:
            problems.add((self.name, "dags"), "there is no DAG in it", valid="DAGs by their ids")
        # A mistake that is in the text of no single DAG concerns each of them.
        of_all = [one for one in self.source.problems if len(self._path_of(one)) < len(_OF_A_DAG)]
        self.defaults.problems.extend(of_all)
        self.defaults.add(value.get("defaults"), self.source, ("defaults",), self.name)
        for dag_id, dictionary in value["dags"].items():
            yield from self._dag(("dags", str(dag_id)), dag_id, dictionary)

    def _path_of(self, problem: Problem) -> Path:
        path = self.source.path_at(problem.position)
        return path if path[:1] == _OF_A_DAG[:1] else ()

    def _dag(self, prefix: Path, dag_id: Any, dictionary: Any) -> Iterator[Entry]:
        def locate(path: Path, on_key: bool) -> Position | None:  # noqa: FBT001
            for source, start in ((self.source, prefix), *self.defaults.places):
                if source.has((*start, *path[1:])):
                    return source.locate((*start, *path[1:]), on_key)
            return self.source.locate((*prefix, *path[1:]), on_key)

        own = [
            replace(problem, path=(str(dag_id), *path[len(prefix) :]))
            for problem in self.source.problems
            if (path := self.source.path_at(problem.position))[: len(prefix)] == prefix
        ]
        lacking = [
            replace(problem, path=(str(dag_id),), hint="so this DAG's defaults are not known")
            for problem in self.defaults.problems
        ]
        for name, filled, defaults in self._instances(dag_id, dictionary, locate):
            yield Entry(
                dag_id=name,
                dictionary=filled,
                defaults=defaults,
                locate=locate,
                problems=(*own, *lacking),
                lacks_defaults=bool(lacking),
            )

    def _instances(
        self, dag_id: Any, dictionary: Any, locate: Callable[[Path, bool], Position | None]
    ) -> Iterator[tuple[Any, Any, Mapping[str, Any]]]:
        if not isinstance(dictionary, dict) or "for_each" not in dictionary:
            yield dag_id, dictionary, self.defaults.value
            return
        dictionary = cast("dict[str, Any]", dictionary)
        template = {key: item for key, item in dictionary.items() if key != "for_each"}
        problems = Problems(locate)
        made: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        try:
            made = templates.instances(
                str(dag_id), template, dictionary["for_each"], problems, self.defaults.value
            )
        except UNEXPECTED as error:
            problems.add_unexpected((str(dag_id),), error, file=self.source.file)
        if not made and not problems:
            problems.add(
                (str(dag_id), "for_each"),
                "there is no set of parameters in it, so it makes no DAG",
                given=dictionary["for_each"],
                valid="[{country: fr}, {country: de}] or {country: [fr, de]}",
            )
        self.found.extend(problems.found)
        yield from made


def _without_free_keys(value: object) -> dict[str, Any]:
    items = cast("dict[Any, Any]", value).items() if isinstance(value, dict) else ()
    return {key: item for key, item in items if not str(key).startswith(_FREE)}


def _dag_factory_hint(value: Mapping[str, Any]) -> str:
    looks = any(isinstance(item, Mapping) and "tasks" in item for item in value.values())
    return "a file of dag-factory is converted by: dag-builder import FILE" if looks else ""


def _failed(path: FilePath, message: str, given: str) -> Document:
    problem = Problem(path=(path.name,), message=message, given=given)
    return Document(file=str(path), dags=(), problems=(problem,))
