"""Reads one value of a dictionary: checks it against its kind and converts it to Airflow's type."""

from __future__ import annotations

import datetime as dt
import functools
import json
import os
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, TypeGuard, cast

from dag_builder import airflow_internals
from dag_builder.errors import NOTHING, UNEXPECTED, Path, Problems, closest, listed
from dag_builder.fields import Kind
from dag_builder.read import assets, deadlines, notifications, schedules, times
from dag_builder.read.argument_types import SCALARS, is_marked
from dag_builder.read.imports import ImportPathError, import_object, is_import_path
from dag_builder.read.origins import Called, FromEnvironment, Imported, Origin, Origins, copied
from dag_builder.references import MARKERS, RETURN_VALUE, Argument, Combined, Output, has_references

#: Markers of ready-made objects, which are valid for every kind.
_READY_MADE = frozenset({"$object", "$import", "$duration", "$date"})


#: The keys that are valid beside a marker; beside $object those are the object's arguments.
_BESIDE: dict[str, tuple[str, ...]] = {
    "$output": ("key", "map"),
    "$argument": (),
    "$zip": ("map", "fillvalue"),
    "$concat": ("map",),
    "$import": (),
    "$env": ("default",),
    "$asset": (),
    "$duration": (),
    "$date": (),
}
_VALUES = SCALARS | {list, tuple, dict}
#: Kinds that no text is written for, so that an environment variable's is read as JSON.
_NO_TEXT = frozenset(
    {Kind.INTEGER, Kind.COUNT, Kind.NUMBER, Kind.BOOLEAN, Kind.NATURAL, Kind.BACKOFF}
)
#: The types that JSON Schema has, and its keywords, with those that Airflow's form reads.
_SCHEMA_TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
_SCHEMA_KEYS = frozenset(
    {
        *("type", "default", "enum", "const", "title", "description", "examples", "format"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "pattern", "contentEncoding", "contentMediaType"),
        *("items", "prefixItems", "additionalItems", "contains", "minContains", "maxContains"),
        *("minItems", "maxItems", "uniqueItems", "unevaluatedItems"),
        *("properties", "patternProperties", "additionalProperties", "propertyNames"),
        *("required", "minProperties", "maxProperties", "dependentRequired", "dependentSchemas"),
        *("unevaluatedProperties", "allOf", "anyOf", "oneOf", "not", "if", "then", "else"),
        *("readOnly", "writeOnly", "deprecated", "definitions", "source"),
        *("section", "description_md", "values_display"),
    }
)


class Reader:
    """Converters for each Kind. Mistakes go to `problems`; the value then given is NOTHING.

    `namespace` is where names without a dot are looked up: a module, or functions by name.
    `origins` keeps how values are made, if it is given.
    """

    def __init__(
        self,
        problems: Problems,
        namespace: Mapping[str, Any] | ModuleType | None = None,
        origins: Origins | None = None,
    ) -> None:
        """Read the values of one DAG."""
        self.problems = problems
        self.namespace = namespace
        self.origins = origins
        self.timezone = "UTC"
        self.assets: dict[str, Any] = {}
        #: Callbacks of every deadline of the DAG, beside the deadline's own.
        self.of_deadlines: list[Any] = []

    def read(self, kind: Kind, value: object, path: Path) -> Any:
        """The value as its kind, or NOTHING if it is wrong (and that is noted)."""
        if value is None:
            return None
        if isinstance(value, dict) and "$env" in value:
            value = self.environment(
                cast("dict[str, Any]", value), path, as_text=kind not in _NO_TEXT
            )
            if value is NOTHING:
                return NOTHING
        if isinstance(value, dict) and not _READY_MADE.isdisjoint(cast("dict[str, Any]", value)):
            found = self.value(value, path)
            if found is NOTHING or not ("$duration" in value or "$date" in value):
                return found
            value = found
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
        if marker in _BESIDE and not self._only_known(marker, mapping, path):
            return NOTHING
        match marker:
            case "$output":
                return self._output(mapping, path)
            case "$argument":
                name = self.typed(given, inner, types=(str,), valid="the name of an argument")
                return Argument(name=name) if name else NOTHING
            case "$zip" | "$concat":
                return self._combined(marker[1:], mapping, path)
            case "$object":
                return self.new_object(mapping, path)
            case "$import":
                return self.imported(given, inner)
            case "$env":
                return self.environment(mapping, path)
            case "$asset":
                return assets.read_asset(self, given, inner)
            case "$duration":
                return self.duration(given, inner)
            case _:
                return self.moment(given, inner)

    def environment(self, mapping: Mapping[str, Any], path: Path, *, as_text: bool = True) -> Any:
        """``{$env: NAME, default: value}``, the value of an environment variable.

        It is text. If the place takes no text, it is what the text is in JSON: 3, true.
        """
        if not self._only_known("$env", mapping, path):
            return NOTHING
        inner = (*path, "$env")
        name = self.typed(mapping["$env"], inner, types=(str,), valid="an environment variable")
        if name is NOTHING:
            return NOTHING
        origin = FromEnvironment(
            name=name, default=mapping.get("default", NOTHING), as_json=not as_text
        )
        if name not in os.environ and "default" in mapping:
            return self.kept(mapping["default"], origin, path)
        if name not in os.environ:
            self.problems.add(
                inner,
                f"the environment variable {name!r} is not set",
                given=name,
                valid="{$env: NAME, default: value}, or a variable of every Airflow service",
                suggestion=closest(name, os.environ),
            )
            return NOTHING
        if as_text:
            return self.kept(os.environ[name], origin, path)
        try:
            return self.kept(json.loads(os.environ[name]), origin, path)
        except ValueError:
            return os.environ[name]  # which the type of the place refuses

    def _output(self, mapping: Mapping[str, Any], path: Path) -> Any:
        task = self.typed(
            mapping["$output"], (*path, "$output"), types=(str,), valid="the name of a task"
        )
        if not task:
            return NOTHING
        key = mapping.get("key", RETURN_VALUE)
        if self.typed(key, (*path, "key"), types=(str,), valid="the name of an output") is NOTHING:
            return NOTHING
        return Output(task=task, key=key, functions=self._functions(mapping, path))

    def _only_known(self, marker: str, mapping: Mapping[str, Any], path: Path) -> bool:
        unknown = [name for name in mapping if name != marker and name not in _BESIDE[marker]]
        for name in unknown:
            self.problems.add_unknown(
                (*path, str(name)),
                f"{marker} has no {name!r}",
                str(name),
                _BESIDE[marker],
                on_key=True,
            )
        return not unknown

    def _functions(self, mapping: Mapping[str, Any], path: Path) -> tuple[Any, ...]:
        functions = mapping.get("map", [])
        if not isinstance(functions, list):
            functions = [functions]
        return tuple(self.callable(item, (*path, "map")) for item in cast("list[Any]", functions))

    def _combined(self, how: str, mapping: Mapping[str, Any], path: Path) -> Any:
        """Several outputs as one: ``{$zip: [{$output: a}, {$output: b}], fillvalue: 0}``."""
        inner = (*path, f"${how}")
        given = mapping[f"${how}"]
        parts = self.value(given, inner)
        if parts is NOTHING:
            return NOTHING
        if not isinstance(parts, list) or len(cast("list[Any]", parts)) < 2:  # noqa: PLR2004
            self.wrong(inner, given, "a list of two or more {$output: …}")
            return NOTHING
        items = cast("list[Any]", parts)
        wrong = [i for i, item in enumerate(items) if type(item) in _VALUES]
        for index in wrong:
            self.wrong((*inner, index), given[index], "{$output: task}: it is joined at run time")
        if wrong or NOTHING in items:
            return NOTHING
        options: dict[str, Any] = {}
        if "fillvalue" in mapping:
            options["fillvalue"] = self.value(mapping["fillvalue"], (*path, "fillvalue"))
        functions = self._functions(mapping, path)
        return Combined(how=how, parts=tuple(items), options=options, functions=functions)

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
        if not isinstance(cast("object", args), list | tuple):
            self.wrong((*path, "$args"), mapping["$args"], "a list of arguments")
        self.refuse_references([args, kwargs], path)
        if len(self.problems.found) > before:
            return NOTHING
        return self.call(factory, args, kwargs, path)

    def refuse_references(self, value: object, path: Path) -> bool:
        """Report an output in what is made before any task runs. Returns whether there is one."""
        if not has_references(value):
            return False
        self.problems.add(
            path,
            "a task's output cannot be used here: this is made before any task runs",
            hint="an argument of a task itself can be {$output: task}",
        )
        return True

    def kept(self, value: Any, origin: Origin, path: Path) -> Any:
        """Return the value, and keep how it is made, for code that is written from it."""
        return value if self.origins is None else self.origins.add(value, origin, path)

    def call(self, factory: Any, args: Any, kwargs: Mapping[str, Any], path: Path) -> Any:
        """Call a class or function; that it refuses its arguments is a mistake at `path`."""
        origin = None
        if self.origins is not None:  # the call may change what it is given
            origin = Called(factory=factory, args=copied(args), kwargs=copied(kwargs))
        try:
            made = factory(*args, **kwargs)
        except UNEXPECTED as error:  # whatever a user's class raises is reported
            name = getattr(factory, "__name__", str(factory))
            given = dict(kwargs) if kwargs or len(args) != 1 else args[0]
            self.problems.add(
                path, f"{name} refuses this: {type(error).__name__}: {error}", given=given
            )
            return NOTHING
        return made if origin is None else self.kept(made, origin, path)

    # Things by name

    def imported(self, path_to: object, path: Path) -> Any:
        """The object at an import path; an object that is not text is returned as it is."""
        if not isinstance(path_to, str):
            return path_to
        try:
            found = import_object(path_to)
        except ImportPathError as error:
            self.problems.add(
                path,
                error.message,
                given=path_to,
                valid=error.valid,
                suggestion=error.suggestion,
            )
            return NOTHING
        return self.kept(found, Imported(path=path_to), path)

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
        # bool is an int to Python, but 1 does not mean true here.
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

    def delay(self, value: Any, path: Path) -> Any:
        """A length of time that is not negative."""
        found = self.duration(value, path)
        if found is not NOTHING and found < dt.timedelta(0):
            self.wrong(path, value, "a duration of 0 or more")
            return NOTHING
        return found

    def interval(self, value: Any, path: Path) -> Any:
        """A length of time that is more than nothing."""
        found = self.duration(value, path)
        if found is not NOTHING and found <= dt.timedelta(0):
            self.wrong(path, value, "a duration of more than 0")
            return NOTHING
        return found

    def time(self, value: Any, path: Path) -> Any:
        """A time of day."""
        try:
            return times.time_of_day(value)
        except ValueError as error:
            self.wrong(path, value, times.TIME_FORMS, str(error))
            return NOTHING

    def natural(self, value: Any, path: Path) -> Any:
        """A whole number of 0 or more."""
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self.wrong(path, value, "a whole number of 0 or more")
        return NOTHING

    def backoff(self, value: Any, path: Path) -> Any:
        """A factor of 0 or more; before Airflow 3.2 it was a boolean, which it still reads."""
        if isinstance(value, bool) or (isinstance(value, int | float) and value >= 0):
            return value
        self.wrong(path, value, "a number of 0 or more")
        return NOTHING

    def moment(self, value: Any, path: Path) -> Any:
        """A date, or date and time."""
        try:
            return times.moment(value, self.timezone)
        except ValueError as error:
            self.wrong(path, value, times.MOMENT_FORMS, str(error))
            return NOTHING

    def is_zone(self, value: object, path: Path) -> TypeGuard[str]:
        """Whether this is the name of a time zone; noted if it is not."""
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
        if found is NOTHING or NOTHING in kwargs.values():
            return NOTHING
        if self.refuse_references(kwargs, path):
            return NOTHING
        if isinstance(found, type):
            return self.call(found, (), kwargs, path)
        return functools.partial(found, **kwargs)

    def objects(self, value: Any, path: Path) -> Any:
        """Named values, such as macros. Text that is an import path means what it names."""
        return self._named_objects(value, path, self._macro)

    def filters(self, value: Any, path: Path) -> Any:
        """Named functions, such as filters of Jinja."""
        return self._named_objects(value, path, self.callable)

    def _named_objects(
        self, value: Any, path: Path, read: Callable[[Any, Path], Any]
    ) -> dict[str, Any] | Any:
        if not isinstance(value, Mapping):
            self.wrong(path, value, "a mapping of names to import paths or values")
            return NOTHING
        items = cast("Mapping[str, Any]", value).items()
        return _whole({name: self._object(item, (*path, name), read) for name, item in items})

    def _object(self, value: Any, path: Path, read: Callable[[Any, Path], Any]) -> Any:
        if isinstance(value, Mapping):
            found = self.value(value, path)
            return NOTHING if self.refuse_references(found, path) else found
        return read(value, path)

    def _macro(self, value: Any, path: Path) -> Any:
        is_path = isinstance(value, str) and "." in value and is_import_path(value)
        return self.imported(value, path) if is_path else self.value(value, path)

    def params(self, value: Any, path: Path) -> Any:
        """Params by name: plain values or schemas."""
        if not isinstance(value, Mapping):
            self.wrong(path, value, "a mapping of names to values or schemas")
            return NOTHING
        mapping = cast("Mapping[str, Any]", value)
        return _whole({name: self._param(item, (*path, name)) for name, item in mapping.items()})

    def _param(self, value: Any, path: Path) -> Any:
        if not isinstance(value, Mapping) or is_marked(cast("object", value)):
            found = self.value(value, path)
            return NOTHING if self.refuse_references(found, path) else found
        given = cast("Mapping[str, Any]", value)
        form = self._is_schema(given, path)
        if form is not True:
            return self.value(given, path) if form is False else NOTHING
        from airflow.sdk import Param

        schema = dict(given)
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

    def _is_schema(self, given: Mapping[str, Any], path: Path) -> bool | None:
        """Whether a param is a schema and not a plain mapping; None if it is neither (reported)."""
        if "type" not in given and "default" not in given:
            return False
        types: Any = given.get("type", [])
        types = cast("list[Any]", types if isinstance(types, list) else [types])
        wrong_types = [one for one in types if one not in _SCHEMA_TYPES]
        unknown = [key for key in given if key not in _SCHEMA_KEYS]
        if not wrong_types and not unknown:
            return True
        if "type" in given and wrong_types and unknown and "default" not in given:
            return False  # 'type' is a key of the author's own
        hint = "for a plain mapping as the value write {default: {…}}"
        for key in unknown:
            self.problems.add(
                (*path, str(key)),
                f"a param's schema has no {key!r}",
                given=key,
                suggestion=closest(str(key), _SCHEMA_KEYS),
                hint=hint,
                on_key=True,
            )
        for one in wrong_types:
            self.problems.add(
                (*path, "type"),
                f"JSON Schema has no type {one!r}",
                given=given["type"],
                valid=listed(_SCHEMA_TYPES),
                suggestion=closest(str(one), _SCHEMA_TYPES),
                hint=hint,
            )
        return None

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


def _whole(found: dict[str, Any]) -> Any:
    """The mapping, or NOTHING if something in it is wrong."""
    return NOTHING if any(item is NOTHING for item in found.values()) else found


def _meant(key: Any) -> Any:
    """``$$set`` is the key ``$set`` and not a marker."""
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
    Kind.NATURAL: Reader.natural,
    Kind.BACKOFF: Reader.backoff,
    Kind.DURATION: Reader.delay,
    Kind.INTERVAL: Reader.interval,
    Kind.DIFFERENCE: Reader.duration,
    Kind.TIME: Reader.time,
    Kind.FILTERS: Reader.filters,
    Kind.MOMENT: Reader.moment,
    Kind.CALLBACK: Reader.callbacks,
    Kind.CALLABLE: Reader.callable,
    Kind.OBJECTS: Reader.objects,
    Kind.SCHEDULE: schedules.read_schedule,
    Kind.DEADLINE: deadlines.read_deadline,
    Kind.NOTIFY: notifications.read_dag_notify,
    Kind.TASK_NOTIFY: notifications.read_task_notify,
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
