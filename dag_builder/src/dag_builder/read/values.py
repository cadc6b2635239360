"""Reads one value of a dictionary: checks it against its kind and gives what Airflow wants."""

from __future__ import annotations

import functools
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, TypeGuard, cast

from dag_builder import airflow_internals
from dag_builder.errors import NOTHING, UNEXPECTED, Path, Problems, closest, listed
from dag_builder.fields import Kind
from dag_builder.read import assets, deadlines, schedules, times
from dag_builder.read.imports import ImportPathError, import_object
from dag_builder.references import RETURN_VALUE, Argument, Combined, Output

#: Types whose values are themselves: they hold no marker and need no look.
SCALARS = frozenset({str, int, float, bool, type(None)})

#: A mapping with one of these keys stands for something else.
MARKERS = (
    "$output",
    "$argument",
    "$zip",
    "$concat",
    "$object",
    "$import",
    "$asset",
    "$duration",
    "$date",
)
#: Markers of ready-made objects, which may stand wherever a value of a kind is wanted.
_READY_MADE = frozenset({"$object", "$import", "$duration", "$date"})


class Reader:
    """Converters for each Kind. Mistakes go to `problems`; the value then given is NOTHING.

    `namespace` is where names without a dot are looked up: a module, or functions by name.
    """

    def __init__(
        self, problems: Problems, namespace: Mapping[str, Any] | ModuleType | None = None
    ) -> None:
        """Read the values of one DAG."""
        self.problems = problems
        self.namespace = namespace
        self.timezone = "UTC"
        self.assets: dict[str, Any] = {}

    def read(self, kind: Kind, value: object, path: Path) -> Any:
        """The value as its kind, or NOTHING when it is wrong (and that is noted)."""
        if value is None:
            return None
        if isinstance(value, dict) and not _READY_MADE.isdisjoint(cast("dict[str, Any]", value)):
            return self.value(value, path)
        try:
            return _CONVERTERS[kind](self, value, path)
        except UNEXPECTED as error:
            self.problems.add_unexpected(path, error)
            return NOTHING

    # Anything, with markers in it

    def value(self, value: Any, path: Path) -> Any:
        """Any value, with the markers (``$output``, ``$object``, …) within it read."""
        if type(value) in SCALARS:
            return value
        if isinstance(value, Mapping):
            mapping = cast("Mapping[Any, Any]", value)
            marker = next((name for name in MARKERS if name in mapping), None)
            if marker:
                return self._marker(marker, mapping, path)
            dollars = [name for name in mapping if isinstance(name, str) and name[:1] == "$"]
            unknown = [name for name in dollars if name[:2] != "$$"]
            for name in unknown:
                self.problems.add(
                    (*path, name),
                    f"there is no marker {name!r}",
                    given=name,
                    valid=listed(MARKERS),
                    suggestion=closest(name, MARKERS),
                    hint=f"a key of yours that begins with a dollar sign has two here: '${name}'",
                    on_key=True,
                )
            read = {key: self.value(item, (*path, str(key))) for key, item in mapping.items()}
            return {_meant(key): item for key, item in read.items()} if dollars else read
        if isinstance(value, list | tuple):
            items = [
                self.value(item, (*path, index))
                for index, item in enumerate(cast("Iterable[Any]", value))
            ]
            return items if isinstance(value, list) else tuple(items)
        return value

    def _marker(self, marker: str, mapping: Mapping[str, Any], path: Path) -> Any:
        inner = (*path, marker)
        given = mapping[marker]
        match marker:
            case "$output":
                return self._output(mapping, path)
            case "$argument":
                name = self.typed(given, inner, types=(str,), valid="the name of an argument")
                return Argument(name=name) if name else NOTHING
            case "$zip" | "$concat":
                parts = self.value(given, inner)
                if not isinstance(parts, list) or len(cast("list[Any]", parts)) < 2:  # noqa: PLR2004
                    self.wrong(inner, given, "a list of two or more {$output: …}")
                    return NOTHING
                return Combined(how=marker[1:], parts=tuple(cast("list[Any]", parts)))
            case "$object":
                return self.new_object(mapping, path)
            case "$import":
                return self.imported(given, inner)
            case "$asset":
                return assets.read_asset(self, given, inner)
            case "$duration":
                return self.duration(given, inner)
            case _:
                return self.moment(given, inner)

    def _output(self, mapping: Mapping[str, Any], path: Path) -> Any:
        for name in mapping.keys() - {"$output", "key", "map"}:
            self.problems.add_unknown(
                (*path, name), f"$output has no {name!r}", name, ["key", "map"], on_key=True
            )
        task = self.typed(
            mapping["$output"], (*path, "$output"), types=(str,), valid="the name of a task"
        )
        if not task:
            return NOTHING
        key = mapping.get("key", RETURN_VALUE)
        if self.typed(key, (*path, "key"), types=(str,), valid="the name of an output") is NOTHING:
            return NOTHING
        functions = mapping.get("map", [])
        if not isinstance(functions, list):
            functions = [functions]
        found = [self.callable(item, (*path, "map")) for item in cast("list[Any]", functions)]
        return Output(task=task, key=key, functions=tuple(found))

    def new_object(self, mapping: Mapping[str, Any], path: Path) -> Any:
        """``{"$object": "package.Class", "$args": […], key: value}`` called with its arguments."""
        factory = self.imported(mapping["$object"], (*path, "$object"))
        if factory is NOTHING:
            return NOTHING
        before = len(self.problems.found)
        args = self.value(mapping.get("$args", []), (*path, "$args"))
        kwargs = {
            key: self.value(item, (*path, key))
            for key, item in mapping.items()
            if key not in {"$object", "$args"}
        }
        if len(self.problems.found) > before:
            return NOTHING
        return self.call(factory, args, kwargs, path)

    def call(self, factory: Any, args: Any, kwargs: Mapping[str, Any], path: Path) -> Any:
        """Call a class or function; that it refuses its arguments is a mistake at `path`."""
        try:
            return factory(*args, **kwargs)
        except UNEXPECTED as error:  # whatever a user's class raises is told
            name = getattr(factory, "__name__", str(factory))
            self.problems.add(
                path, f"{name} refuses this: {type(error).__name__}: {error}", given=dict(kwargs)
            )
            return NOTHING

    # Things by name

    def imported(self, path_to: object, path: Path) -> Any:
        """The object at an import path; an object that is no text is taken as it is."""
        if not isinstance(path_to, str):
            return path_to
        try:
            return import_object(path_to)
        except ImportPathError as error:
            self.problems.add(
                path,
                error.message,
                given=path_to,
                valid=error.valid,
                suggestion=error.suggestion,
            )
            return NOTHING

    def callable(self, value: object, path: Path) -> Any:
        """A function: itself, its import path, or its name in the namespace."""
        if isinstance(value, str) and "." not in value and ":" not in value:
            found = self.named(value)
            if found is NOTHING:
                names = self.names()
                self.problems.add(
                    path,
                    f"there is no function named {value!r}",
                    given=value,
                    valid=listed(names) or "an import path such as 'sales.clean'",
                    suggestion=closest(value, names),
                    hint="a name without a dot is looked up in tasks=, or in the calling file",
                )
                return NOTHING
        else:
            found = self.imported(value, path)
        if found is not NOTHING and not callable(found):
            self.problems.add(path, "this cannot be called", given=value, valid="a function")
            return NOTHING
        return found

    def named(self, name: str) -> Any:
        """What the namespace has under a name, or NOTHING."""
        if isinstance(self.namespace, ModuleType):
            return getattr(self.namespace, name, NOTHING)
        return self.namespace.get(name, NOTHING) if self.namespace else NOTHING

    def names(self) -> list[str]:
        """The names of the namespace that can be tasks."""
        space = self.namespace
        items = vars(space) if isinstance(space, ModuleType) else space or {}
        return [name for name, item in items.items() if name[:1] != "_" and callable(item)]

    # The kinds

    def wrong(self, path: Path, given: object, valid: str, message: str = "") -> None:
        """Note that the value must be `valid`, or is wrong as `message` says."""
        what = message or f"this must be {valid}"
        self.problems.add(path, what, given=given, valid=valid if message else "")

    def typed(self, value: Any, path: Path, *, types: tuple[type, ...], valid: str) -> Any:
        """A value of one of these types."""
        # bool is an int to Python, but no person means true by 1.
        if isinstance(value, types) and (bool in types or not isinstance(value, bool)):
            return value
        self.wrong(path, value, valid)
        return NOTHING

    def count(self, value: Any, path: Path) -> Any:
        """A whole number of 1 or more."""
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return value
        self.wrong(path, value, "a whole number of 1 or more")
        return NOTHING

    def name_list(self, value: Any, path: Path) -> Any:
        """A name or a list of names, as a list."""
        items: Any = [value] if isinstance(value, str) else value
        if isinstance(items, list | tuple | set | frozenset):
            # A set has another order in each process, and each order is a version to Airflow.
            found = list(cast("Iterable[Any]", items))
            if isinstance(items, set | frozenset):
                found.sort(key=str)
            wrong = [index for index, item in enumerate(found) if not isinstance(item, str)]
            for index in wrong:
                self.wrong((*path, index), found[index], "text")
            return NOTHING if wrong else found
        self.wrong(path, value, "a list of names")
        return NOTHING

    def mapping(self, value: Any, path: Path) -> Any:
        """A mapping, with the markers in it read."""
        if isinstance(value, Mapping):
            return self.value(value, path)
        self.wrong(path, value, "a mapping")
        return NOTHING

    def duration(self, value: Any, path: Path) -> Any:
        """A length of time."""
        try:
            return times.duration(value)
        except ValueError as error:
            self.wrong(path, value, times.DURATION_FORMS, str(error))
            return NOTHING

    def moment(self, value: Any, path: Path) -> Any:
        """A date, or date and time."""
        try:
            return times.moment(value, self.timezone)
        except ValueError as error:
            self.wrong(path, value, times.MOMENT_FORMS, str(error))
            return NOTHING

    def is_zone(self, value: object, path: Path) -> TypeGuard[str]:
        """Whether this is the name of a time zone; noted where it is not."""
        try:
            times.zone(cast("str", value))
        except (ValueError, TypeError) as error:
            self.problems.add(
                path,
                str(error),
                given=value,
                valid="a name such as 'Europe/Paris'",
                suggestion=closest(str(value), zoneinfo.available_timezones()),
            )
            return False
        return True

    def callbacks(self, value: Any, path: Path) -> Any:
        """One callback or a list of them."""
        if isinstance(value, list):
            return [
                self._callback(item, (*path, index))
                for index, item in enumerate(cast("list[Any]", value))
            ]
        return self._callback(value, path)

    def _callback(self, value: Any, path: Path) -> Any:
        if not isinstance(value, Mapping):
            return self.callable(value, path)
        mapping = cast("Mapping[str, Any]", value)
        if "$object" in mapping:
            return self.new_object(mapping, path)
        if "callback" not in mapping:
            self.wrong(path, mapping, "an import path, or {callback: path, argument: value}")
            return NOTHING
        found = self.callable(mapping["callback"], (*path, "callback"))
        kwargs = {
            key: self.value(item, (*path, key))
            for key, item in mapping.items()
            if key != "callback"
        }
        if found is NOTHING:
            return NOTHING
        if isinstance(found, type):
            return self.call(found, (), kwargs, path)
        return functools.partial(found, **kwargs)

    def objects(self, value: Any, path: Path) -> Any:
        """Named objects, such as macros."""
        if not isinstance(value, Mapping):
            self.wrong(path, value, "a mapping of names to import paths or values")
            return NOTHING
        return {
            name: self.value(item, (*path, name))
            for name, item in cast("Mapping[str, Any]", value).items()
        }

    def params(self, value: Any, path: Path) -> Any:
        """Params by name: plain values or schemas."""
        if not isinstance(value, Mapping):
            self.wrong(path, value, "a mapping of names to values or schemas")
            return NOTHING
        mapping = cast("Mapping[str, Any]", value)
        return {name: self._param(item, (*path, name)) for name, item in mapping.items()}

    def _param(self, value: Any, path: Path) -> Any:
        if not isinstance(value, Mapping) or not ("type" in value or "default" in value):
            return self.value(value, path)
        from airflow.sdk import Param

        schema = dict(cast("Mapping[str, Any]", value))
        if "default" not in schema:
            return self.call(Param, (), schema, path)
        param = self.call(Param, (schema.pop("default"),), schema, path)
        if param is not NOTHING:
            try:
                param.resolve()
            except Exception as error:  # noqa: BLE001 - jsonschema and Airflow raise several kinds
                reason = str(error).strip().splitlines()[0]
                self.problems.add(
                    (*path, "default"), f"the default does not fit: {reason}", given=param.value
                )
        return param

    def choice(self, value: Any, path: Path, *, what: str) -> Any:
        """One of the words of an Airflow enumeration."""
        names = choices(what)
        if value in names:
            return value
        if what == "weight rule" and not isinstance(value, str | int | float | list | Mapping):
            return value
        text = str(cast("object", value))
        if what == "weight rule" and "." in text:
            return self.imported(text, path)
        self.problems.add_unknown(path, f"there is no {what} {text!r}", text, names)
        return NOTHING

    def run_types(self, value: Any, path: Path) -> Any:
        """Kinds of run that are allowed."""
        names = self.name_list(value, path)
        if names is NOTHING:
            return NOTHING
        for index, name in enumerate(names):
            if name not in choices("run type"):
                self.problems.add_unknown(
                    (*path, index), f"there is no run type {name!r}", name, choices("run type")
                )
        return names


def _meant(key: Any) -> Any:
    """``$$set`` is the key ``$set`` and no marker."""
    return key[1:] if isinstance(key, str) and key[:2] == "$$" else key


def _typed(*types: type, valid: str) -> Callable[[Reader, Any, Path], Any]:
    def read(reader: Reader, value: Any, path: Path) -> Any:
        return reader.typed(value, path, types=types, valid=valid)

    return read


def _choice(what: str) -> Callable[[Reader, Any, Path], Any]:
    def read(reader: Reader, value: Any, path: Path) -> Any:
        return reader.choice(value, path, what=what)

    return read


#: In the module and not in the Reader, where its bound methods would make a reference cycle of
#: each Reader, left for the garbage collector to find.
_CONVERTERS: dict[Kind, Callable[[Reader, Any, Path], Any]] = {
    Kind.ANY: Reader.value,
    Kind.TEXT: _typed(str, valid="text"),
    Kind.INTEGER: _typed(int, valid="a whole number"),
    Kind.COUNT: Reader.count,
    Kind.NUMBER: _typed(int, float, valid="a number"),
    Kind.BOOLEAN: _typed(bool, valid="true or false"),
    Kind.NAMES: Reader.name_list,
    Kind.MAPPING: Reader.mapping,
    Kind.DURATION: Reader.duration,
    Kind.MOMENT: Reader.moment,
    Kind.CALLBACK: Reader.callbacks,
    Kind.CALLABLE: Reader.callable,
    Kind.OBJECTS: Reader.objects,
    Kind.SCHEDULE: schedules.read_schedule,
    Kind.DEADLINE: deadlines.read_deadline,
    Kind.PARAMS: Reader.params,
    Kind.ASSETS: assets.read_assets,
    Kind.TRIGGER_RULE: _choice("trigger rule"),
    Kind.WEIGHT_RULE: _choice("weight rule"),
    Kind.RUN_TYPES: Reader.run_types,
}


@functools.cache
def choices(what: str) -> tuple[str, ...]:
    """The values of one of Airflow's enumerations."""
    from airflow.sdk import TriggerRule, WeightRule

    if what == "run type":
        return airflow_internals.run_types()
    enumerations = {"trigger rule": TriggerRule, "weight rule": WeightRule}
    return tuple(str(item.value) for item in enumerations[what])
