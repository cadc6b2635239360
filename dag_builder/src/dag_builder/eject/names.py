"""Names of a module that is written: what it imports, and what its variables are called."""

from __future__ import annotations

import builtins
import importlib
import keyword
import re
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dag_builder import airflow_internals
from dag_builder.eject.code import WIDTH
from dag_builder.eject.refusal import EjectError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PUBLIC = "airflow.sdk"
#: Names that look like numbers.
_AMBIGUOUS = ("l", "O", "I")


@dataclass(kw_only=True)
class Names:
    """The names of one module.

    `known` are those that the module has already, by the id() of what they name. `taken` are
    those that new variables must not use.
    """

    known: Mapping[int, str] = field(default_factory=dict[int, str])
    taken: set[str] = field(default_factory=set[str])
    #: The name by which Airflow imports the file that is rewritten.
    own_module: str = ""
    #: The new imports: each name by its module and the name in it (nothing for the module).
    imports: dict[tuple[str, str], str] = field(default_factory=dict["tuple[str, str]", str])

    def imported(self, module: str, name: str = "") -> str:
        """Import a name of a module, or the module itself. Returns the name to use."""
        found = getattr(importlib.import_module(module), name, None) if name else None
        if found is not None and id(found) in self.known:
            return self.known[id(found)]
        if not name and (module_here := self.known.get(id(sys.modules.get(module)))):
            return module_here
        key = (module, name)
        if key not in self.imports:
            self.imports[key] = self._free(name or module.rpartition(".")[2])
        return self.imports[key]

    def of_object(self, value: Any, path: str = "") -> str:
        """Return the code that names a class, function or module.

        `path` is the import path that the author gave. Raises EjectError if nothing can name it.
        """
        if id(value) in self.known:
            return self.known[id(value)]
        if isinstance(value, ModuleType):
            return self.imported(value.__name__)
        owner = getattr(value, "__self__", None)
        if isinstance(owner, type) and getattr(value, "__name__", ""):
            return f"{self.of_object(owner)}.{value.__name__}"
        for module, attributes in _places(value, path):
            if _is_there(value, module, attributes):
                return self._of_module(module, attributes, is_class=isinstance(value, type))
        raise EjectError(_reason(value))

    def of_path(self, path: str) -> str:
        """Return the code that names what is at an import path, such as a number."""
        module, attributes = _split(path)
        return ".".join([self.imported(module), *attributes])

    def _of_module(self, module: str, attributes: list[str], *, is_class: bool) -> str:
        if module in {"builtins", self.own_module}:
            return ".".join(attributes)
        if (
            is_class
            or module.split(".", maxsplit=1)[0] in sys.stdlib_module_names
            or module == _PUBLIC
        ):
            return ".".join([self.imported(module, attributes[0]), *attributes[1:]])
        return ".".join([self.imported(module), *attributes])

    def _free(self, name: str) -> str:
        used = {*self.imports.values(), *self.known.values(), *self.taken}
        found, number = name, 2
        while found in used or keyword.iskeyword(found):
            found, number = f"{name}_{number}", number + 1
        return found

    def variable(self, wanted: str, kind: str, used: Iterable[str]) -> str:
        """Return a name for a variable: the wanted one, or one with `kind` after it."""
        name = re.sub(r"\W", "_", wanted)
        if not name or name[0].isdigit():
            name = f"{kind}_{name}"
        others = {*_AMBIGUOUS, *used, *self.taken, *self.imports.values(), *self.known.values()}
        found, number = name, 1
        while found in others or keyword.iskeyword(found) or hasattr(builtins, found):
            found = f"{name}_{kind}" if number == 1 else f"{name}_{kind}_{number}"
            number += 1
        return found


def _places(value: Any, path: str) -> list[tuple[str, list[str]]]:
    """The modules that an object may be in, with its name there, the best one first."""
    places: list[tuple[str, list[str]]] = []
    named = _named(value)
    module: str = getattr(named, "__module__", None) or ""
    name: str = getattr(named, "__qualname__", "")
    has_name = module and name and "<" not in name
    if has_name and module.startswith(f"{_PUBLIC}."):
        places.append((_PUBLIC, name.split(".")))
    if path:
        places.append(_split(path))
    if has_name:
        places.append((module, name.split(".")))
    return places


def _split(path: str) -> tuple[str, list[str]]:
    """Split an import path, whose object was imported, into the module and the names in it."""
    parts = path.replace(":", ".").split(".")
    lengths = range(len(parts) - 1, 0, -1)
    length = next((n for n in lengths if ".".join(parts[:n]) in sys.modules), len(parts) - 1)
    return ".".join(parts[:length]), parts[length:]


def _is_there(value: Any, module: str, attributes: list[str]) -> bool:
    """Return whether a module that can be imported has this very object under this name."""
    try:
        found: Any = importlib.import_module(module)
        for attribute in attributes:
            found = getattr(found, attribute)
    except (ImportError, AttributeError):
        return False
    return found is value or (callable(value) and found == value)


def _named(value: Any) -> Any:
    """Return what has the name of an object: of a function with ``@task_group`` the function."""
    return value.function if airflow_internals.is_group_function(value) else value


def _reason(value: Any) -> str:
    name = getattr(_named(value), "__qualname__", "")
    if name.endswith("<lambda>"):
        return "a lambda has no name: define a function of a module"
    if "<locals>" in name:
        return f"{name} is defined inside of a function, so no module can import it"
    if name:
        return f"{name} is in no module that can be imported"
    return (
        f"an object of {type(value).__name__} cannot be written as Python: give it a name in the "
        "file, or write it as {$object: …}"
    )


def import_lines(imports: Mapping[tuple[str, str], str]) -> list[str]:
    """Return the import statements, in the order of isort."""
    sections: dict[bool, list[str]] = {True: [], False: []}
    for statement, is_standard in statements(imports):
        sections[is_standard].append(statement)
    blank = [""] if all(sections.values()) else []
    return [*sections[True], *blank, *sections[False]]


def statements(imports: Mapping[tuple[str, str], str]) -> list[tuple[str, bool]]:
    """Return each import statement, and whether it is of the standard library."""
    plain: list[str] = []
    of_module: dict[str, list[tuple[str, str]]] = {}
    for (module, name), used_as in imports.items():
        package, _, last = module.rpartition(".")
        if name:
            of_module.setdefault(module, []).append((name, used_as))
        elif package:
            of_module.setdefault(package, []).append((last, used_as))
        else:
            plain.append(f"import {_as(module, used_as)}")
    found = [*sorted(plain)]
    found += [from_statement(module, of_module[module]) for module in sorted(of_module)]
    return [(statement, is_standard(statement)) for statement in found]


def is_standard(statement: str) -> bool:
    """Return whether an import statement is of the standard library."""
    return statement.split()[1].split(".", maxsplit=1)[0] in sys.stdlib_module_names


def from_statement(module: str, names: Iterable[tuple[str, str]]) -> str:
    """Return ``from module import names``, each name with what it is used as."""
    shown = [_as(name, used_as) for name, used_as in sorted(set(names), key=_order)]
    one = f"from {module} import {', '.join(shown)}"
    if len(one) <= WIDTH:
        return one
    inside = "".join(f"    {name},\n" for name in shown)
    return f"from {module} import (\n{inside})"


def _as(name: str, used_as: str) -> str:
    return name if name.rpartition(".")[2] == used_as else f"{name} as {used_as}"


def _order(name: tuple[str, str]) -> tuple[int, str, str]:
    """Constants, classes, then functions and modules: the order of isort."""
    first = name[0]
    if first.isupper() and len(first) > 1:
        return 0, first, name[1]
    return (1 if first[:1].isupper() else 2), first, name[1]
