"""build_dag and its relatives: from a dictionary to a registered DAG."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, cast

from dag_builder.errors import UNEXPECTED, DagError, Problem, Problems
from dag_builder.make import plans, register
from dag_builder.make.dag import make_dag, try_out
from dag_builder.make.stand_in import is_wanted, stand_in
from dag_builder.read import templates
from dag_builder.read.dag import parse_dag
from dag_builder.read.imports import ImportPathError, import_module, import_object
from dag_builder.read.keys import merged

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from dag_builder.yaml.documents import Document, Entry

Tasks = Mapping[str, Any] | ModuleType | str | None


def build_dag(
    dag_id: str,
    dag: Mapping[str, Any],
    tasks: Tasks = None,
    *,
    defaults: Mapping[str, Any] | None = None,
    **options: Any,
) -> DAG:
    """Make a DAG of a dictionary and register it in the calling file. Returns the DAG.

    `dag` is either only the structure, ``{"extract": [], "load": ["extract"]}``, or everything
    about the DAG with its tasks under the key ``tasks``. `tasks` gives the functions (or
    operators, or dictionaries) of the tasks that are only named: a module, its import path, or a
    mapping; the calling file itself if left out. `options` are keys of the DAG, such as
    ``schedule="@daily"``. `defaults` is a dictionary that `dag` goes over.

    Raises DagError with every mistake in the dictionary. While Airflow reads the file, the
    mistakes are shown as the file's import error instead, and its other DAGs stay.
    """
    return _in_file(_caller(), dag_id, dag, tasks, defaults, options)


def build_dags(
    dag_id: str,
    dag: Mapping[str, Any],
    for_each: Iterable[Mapping[str, Any]] | Mapping[str, Iterable[Any]],
    tasks: Tasks = None,
    *,
    defaults: Mapping[str, Any] | None = None,
    **options: Any,
) -> list[DAG]:
    """Make one DAG for each set of parameters and register them in the calling file.

    ``${name}`` in `dag_id`, in any text and in any key of `dag` is replaced; a text that is
    nothing but ``${name}`` becomes the parameter itself, with its type. `for_each` is a list of
    mappings, or a mapping of names to values of which every combination is taken. Write ``$${``
    for a ``${`` that is meant for a shell.

    Raises DagError as build_dag does; the DAGs without mistakes are still built and registered.
    """
    place = _Place.of(_caller())
    built: list[DAG] = []
    wrong = Problems()
    try:
        with place.fence(dag_id, wrong):
            template = {**dag, **options} if options else dag
            given = _checked(dag_id, defaults, wrong)
            instances = templates.instances(dag_id, template, for_each, wrong, given)
    except DagError as error:
        return [register.report(error, place.module, place.fileloc, place.line)]
    problems = wrong.found
    for name, dictionary, filled in instances:

        def build(name: str = name, dictionary: Any = dictionary, filled: Any = filled) -> DAG:
            return place.build(name, dictionary, tasks, filled)

        try:
            built.append(place.build_if_wanted(name, build))
        except DagError as error:
            problems.extend(error.problems)
    if problems:
        built.append(register.report(DagError(problems), place.module, place.fileloc, place.line))
    return built


def build_yaml(
    path: str | Path, tasks: Tasks = None, *, defaults: Mapping[str, Any] | None = None
) -> list[DAG]:
    """Make the DAGs of a YAML file, or of every one in a folder, and register them.

    `path` is relative to the calling file. A file ``defaults.yaml`` in a folder, or in one around
    it up to the calling file's, gives defaults to the DAGs in there. Raises DagError as build_dag
    does, with line and column; the DAGs without mistakes are still built and registered.
    """
    from dag_builder.yaml.documents import read_documents

    place = _Place.of(_caller())
    built: list[DAG] = []
    problems: list[Problem] = []
    try:
        with place.fence(path):
            for document in read_documents(place.folder / path, top=place.folder):
                built.extend(place.build_document(document, tasks, defaults or {}, problems))
    except DagError as error:
        problems.extend(error.problems)
    if problems:
        built.append(register.report(DagError(problems), place.module, place.fileloc, place.line))
    return built


def dag_of(
    dag_id: str,
    dag: Mapping[str, Any],
    tasks: Tasks = None,
    *,
    defaults: Mapping[str, Any] | None = None,
    fileloc: str = "",
) -> DAG:
    """Make a DAG of a dictionary without registering it anywhere. Raises DagError."""
    place = _Place({}, fileloc)
    return place.build(dag_id, dag, tasks if tasks is not None else {}, defaults or {}, keep=False)


def dags_of_document(document: Document, tasks: Tasks, problems: list[Problem]) -> list[DAG]:
    """The DAGs of one YAML file, registered nowhere; its mistakes are added to `problems`."""
    place = _Place({}, document.file)
    return place.build_document(document, tasks if tasks is not None else {}, {}, problems)


def _caller() -> FrameType:
    """The frame of the DAG file that calls this library's function."""
    return sys._getframe(2)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def _in_file(  # noqa: PLR0917
    frame: FrameType,
    dag_id: str,
    dag: Mapping[str, Any],
    tasks: Tasks,
    defaults: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> DAG:
    place = _Place.of(frame)

    def build() -> DAG:
        with place.fence(dag_id):
            return place.build(dag_id, dag, tasks, _with_options(defaults, options, dag))

    try:
        return place.build_if_wanted(dag_id, build)
    except DagError as error:
        return register.report(error, place.module, place.fileloc, place.line)


def _checked(dag_id: object, defaults: object, problems: Problems) -> Mapping[str, Any]:
    """The defaults, or nothing if they are not a mapping (which is noted)."""
    if isinstance(defaults, Mapping):
        return cast("Mapping[str, Any]", defaults)
    if defaults is not None:
        problems.add(
            (str(dag_id),),
            "defaults= is a mapping of a DAG's keys",
            given=defaults,
            valid="{default_args: {retries: 2}}",
        )
    return {}


def _with_options(
    defaults: Mapping[str, Any] | None, options: Mapping[str, Any], dag: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Options go over the defaults; a key that the dictionary has as well is a mistake."""
    if not options:
        return defaults or {}
    full = isinstance(dag.get("tasks"), Mapping)
    twice = sorted(options.keys() & dag.keys()) if full else []
    if twice:
        problems = [
            Problem(
                path=("build_dag", key),
                message=f"{key!r} is in the dictionary and an argument as well",
                given=options[key],
            )
            for key in twice
        ]
        raise DagError(problems)
    return merged(defaults or {}, options)


class _Place:
    """The DAG file that is built for: its module and its folder."""

    def __init__(self, module: dict[str, Any], fileloc: str, line: int = 0) -> None:
        self.module = module
        self.line = line
        self.fileloc = fileloc
        self.folder = Path(fileloc).parent

    @classmethod
    def of(cls, frame: FrameType) -> _Place:
        """The file whose code runs in a frame."""
        return cls(frame.f_globals, frame.f_code.co_filename, frame.f_lineno)

    @contextlib.contextmanager
    def fence(self, dag_id: object, problems: Problems | None = None) -> Generator[None]:
        """Whatever is raised within becomes the DAG's DagError, so that no other DAG is lost."""
        try:
            yield
        except DagError:
            raise
        except UNEXPECTED as error:
            problems = Problems() if problems is None else problems
            problems.add_unexpected((str(dag_id),), error, file=self.fileloc)
            raise DagError(problems.found) from error

    def build(
        self,
        dag_id: str,
        dictionary: Mapping[str, Any],
        tasks: Tasks,
        defaults: Mapping[str, Any],
        *,
        problems: Problems | None = None,
        keep: bool = True,
    ) -> DAG:
        problems = Problems() if problems is None else problems
        keeper = plans.keeper()
        with self.fence(dag_id, problems):
            defaults = _checked(dag_id, defaults, problems)
            namespace = self._namespace(dag_id, tasks, problems)
            plan = parse_dag(
                dag_id,
                dictionary,
                problems=problems,
                namespace=namespace,
                defaults=defaults,
                folder=self.folder,
                origins=keeper.origins() if keeper else None,
            )
            try:
                if problems:
                    try_out(plan, problems)
                    problems.raise_any()
                dag = make_dag(plan, problems, self.fileloc)
                problems.raise_any()
            finally:
                if keeper is None:
                    plan.dissolve()
            if dag is None:  # pragma: no cover - make_dag notes a problem whenever it gives None
                raise DagError(problems.found)
            if keep:
                register.register(dag, self.module)
            if keeper is not None:
                keeper.keep(
                    plan,
                    dag,
                    module=self.module,
                    file=self.fileloc,
                    line=self.line,
                    locate=problems.locate,
                )
            return dag

    def build_document(
        self,
        document: Document,
        tasks: Tasks,
        defaults: Mapping[str, Any],
        problems: list[Problem],
    ) -> list[DAG]:
        built: list[DAG] = []
        problems.extend(document.problems)
        for entry in document.dags:
            if entry.lacks_defaults:
                problems.extend(entry.problems)
                continue

            def build(entry: Entry = entry) -> DAG:
                return self._build_entry(entry, tasks, defaults)

            try:
                built.append(self.build_if_wanted(entry.dag_id, build))
            except DagError as error:
                problems.extend(error.problems)
        return built

    def build_if_wanted(self, dag_id: str, build: Callable[[], DAG]) -> DAG:
        """Build a DAG, or return a stand-in while a worker reads the file for another DAG."""
        if is_wanted(dag_id, str(self.module.get("__name__", ""))):
            return build()
        return stand_in(dag_id, build)

    def _build_entry(self, entry: Entry, tasks: Tasks, defaults: Mapping[str, Any]) -> DAG:
        found = Problems(entry.locate)
        found.found.extend(entry.problems)
        with self.fence(entry.dag_id, found):
            joined = merged(defaults, entry.defaults)
        return self.build(entry.dag_id, entry.dictionary, tasks, joined, problems=found)

    def _namespace(
        self, dag_id: str, tasks: Tasks, problems: Problems
    ) -> Mapping[str, Any] | ModuleType:
        if tasks is None:
            return self.module
        found: object = tasks
        if isinstance(tasks, str):
            try:
                found = import_object(tasks) if "." in tasks else import_module(tasks)
            except ImportPathError as error:
                problems.add(
                    (str(dag_id),),
                    f"tasks={tasks!r}: {error}",
                    given=tasks,
                    valid=error.valid,
                    suggestion=error.suggestion,
                )
                return {}
        if isinstance(found, ModuleType):
            return found
        if isinstance(found, Mapping):
            return cast("Mapping[str, Any]", found)
        problems.add(
            (str(dag_id),),
            "tasks= gives no tasks by their names",
            given=tasks,
            valid="a module, its import path, or a mapping of names to functions",
        )
        return {}
