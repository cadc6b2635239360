"""The packages that DAGs need: of what their files import, and of their operators' classes."""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dag_builder import airflow_internals
from dag_builder.cluster.imports import Import, imports_of
from dag_builder.read.imports import provider_package

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow.sdk import DAG

_PROVIDERS = "airflow.providers."
#: Classes of operators whose function runs in another interpreter or container.
_ELSEWHERE = frozenset({"_BasePythonVirtualenvOperator", "DockerOperator", "KubernetesPodOperator"})


def normal(name: str) -> str:
    """Return a package's name as PyPI compares names (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed_modules(dags: Iterable[DAG], broken: Iterable[Path]) -> Iterator[Import]:
    """Find what the files of DAGs import, and files that cannot be imported themselves.

    A module in the folder of such a file is read like the file.
    """
    tasks = [task for dag in dags for task in dag.tasks]
    functions = [(task, function) for task in tasks if (function := _function(task)) is not None]
    elsewhere: dict[str, set[int]] = {}
    for task, function in functions:
        if _runs_elsewhere(task):
            code = function.__code__
            elsewhere.setdefault(code.co_filename, set()).add(code.co_firstlineno)
    places = list(dict.fromkeys([Path(dag.fileloc) for dag in dags] + [*broken]))
    files = [file for file in places if file.suffix == ".py"]
    roots = list(dict.fromkeys(file.parent for file in places))
    files += [
        file
        for _, function in functions
        if any((file := Path(function.__code__.co_filename)).is_relative_to(root) for root in roots)
    ]
    seen: set[Path] = set()
    while files:
        file = files.pop(0)
        if file in seen:
            continue
        seen.add(file)
        for one in imports_of(file, elsewhere.get(str(file), ())):
            if own := local_files(one.path, roots):
                files += own
            else:
                yield one


def _function(task: Any) -> Any:
    """The Python function of a task, without its decorators."""
    given = airflow_internals.argument(task, "python_callable")
    function = inspect.unwrap(given) if callable(given) else None
    return function if hasattr(function, "__code__") else None


def _runs_elsewhere(task: Any) -> bool:
    bases = {base.__name__ for base in airflow_internals.class_of(task).__mro__}
    if not bases & _ELSEWHERE:
        return False
    python = airflow_internals.argument(task, "python")
    return str(python) not in {sys.executable, os.environ.get("AIRFLOW_ENV_PYTHON")}


def local_files(path: str, roots: Iterable[Path]) -> list[Path]:
    """Return the files that importing a path reads, if the module is in one of the folders."""
    parts = path.split(".")
    for root in roots:
        found: list[Path] = []
        folder = root
        for part in parts:
            found += [
                file
                for file in (folder / f"{part}.py", folder / part / "__init__.py")
                if file.is_file()
            ]
            folder /= part
        if found or (root / parts[0]).is_dir():
            return found or [root / parts[0]]
    return []


@functools.lru_cache(maxsize=4096)
def packages_with(path: str) -> tuple[str, ...] | None:
    """Return the packages that have a module, by their names on PyPI; None if nothing shows it.

    There are none for Python's own modules and Airflow's. Several packages may share a module's
    name, and one of them is enough.
    """
    top = path.partition(".")[0]
    if top in sys.stdlib_module_names:
        return ()
    if top == "airflow":
        return _of_airflow(path)
    found = _packages_by_module().get(top, [])
    if len(set(found)) > 1:
        found = [name for name in found if _has(name, path)] or found
    return tuple(dict.fromkeys(normal(name) for name in found)) or None


def _of_airflow(path: str) -> tuple[str, ...]:
    """The package of a provider's module. Everything else is of Airflow itself."""
    if not path.startswith(_PROVIDERS):
        return ()
    parts = path.removeprefix(_PROVIDERS).split(".")
    for length in range(len(parts), 0, -1):
        name = f"apache-airflow-providers-{'-'.join(parts[:length])}"
        if normal(name) in _installed():
            return (normal(name),)
    missing = provider_package(path)
    return (normal(missing),) if missing else ()


def _has(package: str, path: str) -> bool:
    """Whether a package has a file of a module, or of the module that a name is in."""
    parts = path.split(".")
    places = {"/".join(parts[:length]) for length in range(2, len(parts) + 1)}
    files = metadata.files(package) or ()
    return any(
        file.suffix == ".py" and {str(file.with_suffix("")), *map(str, file.parents)} & places
        for file in files
    )


@functools.cache
def _packages_by_module() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


@functools.cache
def _installed() -> frozenset[str]:
    return frozenset(normal(name) for names in _packages_by_module().values() for name in names)
