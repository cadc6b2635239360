"""Imports objects by their path, and explains why a path cannot be imported."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import itertools
import pkgutil
import sys

from dag_builder.errors import UNEXPECTED, closest, listed


class ImportPathError(Exception):
    """Nothing could be imported from a path. `valid` and `suggestion` are as in a Problem."""

    def __init__(self, message: str, *, valid: str = "", suggestion: str = "") -> None:
        """Set the message."""
        super().__init__(message)
        self.message = message
        self.valid = valid
        self.suggestion = suggestion


def is_import_path(text: str) -> bool:
    """Return whether text is a path into a module that is there, so that it is meant as one."""
    parts = text.replace(":", ".").split(".")
    if not all(part.isidentifier() for part in parts):
        return False
    if parts[0] in sys.modules:
        return True
    try:
        return importlib.util.find_spec(parts[0]) is not None
    except (ImportError, ValueError):
        return False


_PROVIDERS = "airflow.providers."
#: The folders that a provider's package has, after the provider's name.
_IN_PROVIDERS = frozenset(
    {"operators", "sensors", "hooks", "decorators", "notifications", "triggers", "transfers"}
    | {"timetables", "assets", "links", "utils", "executors", "log"}
)
#: The folders of airflow.providers that have several packages, as Airflow's repository has them.
_OF_SEVERAL = frozenset({"apache", "atlassian", "cncf", "common", "dbt", "ibm", "microsoft"})


@functools.lru_cache(maxsize=4096)
def import_object(path: str) -> object:
    """The object at ``package.module.name`` (or ``package.module:name``, or a class's attribute).

    Raises ImportPathError, whose message is that the module or the name in it is missing, or that
    the module itself fails.
    """
    parts = path.replace(":", ".").split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):  # noqa: PLR2004
        message = f"{path!r} is not an import path"
        raise ImportPathError(message, valid="'module.name' or 'package.module.name'")
    for length in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:length])
        try:
            found: object = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise _module_fails(module_name, error) from error
            continue
        except UNEXPECTED as error:
            raise _module_fails(module_name, error) from error
        return _attribute(found, module_name, parts[length:])
    raise _no_module(parts)


def import_module(name: str) -> object:
    """The module of a name without dots. Raises ImportPathError as import_object does."""
    if not name.isidentifier():
        message = f"{name!r} is not an import path"
        raise ImportPathError(message, valid="a module's name, 'module' or 'package.module'")
    try:
        return importlib.import_module(name)
    except UNEXPECTED as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            raise _no_module([name, ""]) from error
        raise _module_fails(name, error) from error


def _attribute(found: object, name: str, attributes: list[str]) -> object:
    for position, attribute in enumerate(attributes):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            names = [item for item in dir(found) if not item.startswith("_")]
            modules = pkgutil.iter_modules(getattr(found, "__path__", []))
            names.extend(item.name for item in modules if item.name not in names)
            suggestion = ".".join([closest(attribute, names), *attributes[position + 1 :]])
            if package := provider_package(f"{name}.{'.'.join(attributes[position:])}"):
                raise _not_installed(package) from error
            msg = f"{name!r} has nothing named {attribute!r}"
            raise ImportPathError(
                msg,
                valid=listed(names) if len(names) <= 12 else "",  # noqa: PLR2004
                suggestion=f"{name}.{suggestion}" if closest(attribute, names) else "",
            ) from error
        name = f"{name}.{attribute}"
    return found


def provider_package(path: str) -> str:
    """Return the missing package of an Airflow provider's module, or an empty string.

    ``airflow.providers.cncf.kubernetes.operators.pod`` is in
    ``apache-airflow-providers-cncf-kubernetes``, ``airflow.providers.amazon.aws.hooks.s3`` in
    ``apache-airflow-providers-amazon``.
    """
    parts = path.split(".")[2:]
    folders = list(itertools.takewhile(lambda part: part not in _IN_PROVIDERS, parts))
    if not path.startswith(_PROVIDERS) or not 0 < len(folders) < len(parts):
        return ""
    names = folders[: 2 if folders[0] in _OF_SEVERAL else 1]
    try:
        installed = importlib.util.find_spec(f"{_PROVIDERS}{'.'.join(names)}") is not None
    except (ImportError, ValueError):
        installed = False
    return "" if installed else f"apache-airflow-providers-{'-'.join(names)}"


def _not_installed(package: str) -> ImportPathError:
    return ImportPathError(
        f"the package {package!r} is not installed",
        valid=f"install it where DAG files are read: pip install {package}",
    )


def _module_fails(name: str, error: BaseException) -> ImportPathError:
    return ImportPathError(f"importing {name!r} fails: {type(error).__name__}: {error}")


def _no_module(parts: list[str]) -> ImportPathError:
    """Report which part is missing, and what exists in its place."""
    if package := provider_package(".".join(parts)):
        return _not_installed(package)
    known = 0
    places = None
    for length in range(1, len(parts)):
        specification = importlib.util.find_spec(".".join(parts[:length]))
        if specification is None:
            break
        known = length
        places = specification.submodule_search_locations
    package = ".".join(parts[:known])
    missing = ".".join(parts[: known + 1])
    names = [item.name for item in pkgutil.iter_modules(places if known else None)]
    suggestion = closest(parts[known], names)
    full = ".".join([*parts[:known], suggestion, *parts[known + 1 :]]) if suggestion else ""
    inside = f" in package {package!r}" if package else ""
    return ImportPathError(f"there is no module {missing!r}{inside}", suggestion=full)
