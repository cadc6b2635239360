"""One module of a large package, without the rest of it.

The engine starts this plugin twice in every run, so the time of an import is the user's. Some
packages import all of themselves as soon as one of their modules is asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
import types
from typing import Any

_ONE_AT_A_TIME = threading.Lock()


def module(name: str, *, forget: bool) -> Any:  # noqa: ANN401 - callers say the type
    """Import ``package.sub.module`` alone: none of its parents' ``__init__`` runs.

    The parents are empty packages of the same search path, and stay so in this process, unless
    all that was imported is forgotten: then a usual import of the package later is the
    whole package. Not for modules that share state with the rest of theirs, and not while another
    thread may import the same package.

    Raises:
        ModuleNotFoundError: when the package is not installed.

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
            for imported in list(sys.modules) if forget else ():
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
