"""Imports one module of a large package, without the rest of the package.

Every run of Pulumi imports this project twice, so the user waits for slow imports. Some packages
import all of their modules when one of them is imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
import types
from typing import Any

_ONE_AT_A_TIME = threading.Lock()


def module(name: str) -> Any:  # noqa: ANN401 - callers give the type
    """Import ``package.sub.module`` alone: none of its parents' ``__init__`` runs.

    During the import, the parents are empty packages with the same search path. They and the
    modules imported below them are then removed from ``sys.modules``, so that a later import loads
    the whole package. Not for modules that share state with the rest of their package, and not
    while another thread may import the same package.

    Raises:
        ModuleNotFoundError: if the package is not installed.

    """
    package = name.split(".", maxsplit=1)[0]
    with _ONE_AT_A_TIME:
        if package in sys.modules:
            return importlib.import_module(name)
        try:
            for parent in _parents(name):
                sys.modules[parent] = _empty(parent)
            return importlib.import_module(name)
        finally:
            for imported in list(sys.modules):
                if imported == package or imported.startswith(f"{package}."):
                    del sys.modules[imported]


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _empty(name: str) -> types.ModuleType:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        message = f"No module named {name!r}"
        raise ModuleNotFoundError(message, name=name)
    package = types.ModuleType(name)
    package.__spec__ = spec
    package.__path__ = list(spec.submodule_search_locations)
    return package
