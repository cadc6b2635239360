"""Writes values as Python code."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import functools
import json
import math
import pathlib
import types
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from dag_builder import airflow_internals
from dag_builder.eject.code import (
    Code,
    Joined,
    Operation,
    attribute,
    call,
    flat,
    mapping,
    sequence,
    text,
)
from dag_builder.eject.refusal import EjectError, refuse
from dag_builder.errors import NOTHING, Path
from dag_builder.read.origins import (
    Called,
    Expression,
    FromEnvironment,
    Imported,
    Origin,
    Origins,
    WithBaseUrl,
)
from dag_builder.references import RETURN_VALUE, Argument, Combined, Output

if TYPE_CHECKING:
    from dag_builder.eject.names import Names

Refer = Callable[[Output | Argument], Code]
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType)
_UNITS = (("days", 86_400_000_000), ("hours", 3_600_000_000), ("minutes", 60_000_000))
_SMALL_UNITS = (("seconds", 1_000_000), ("milliseconds", 1000), ("microseconds", 1))


@dataclass(kw_only=True)
class UsedAsset:
    """An asset, the code that makes it, and how often it is used."""

    asset: Any
    code: Code
    count: int = 0


@dataclass(kw_only=True)
class Values:
    """Writes the values of one DAG.

    `refer` gives the code of another task's output. `texts` are names of the module that are
    used in place of their texts, by the texts' id(). `shared` are variables of objects
    that are used several times, by the objects' code.
    """

    names: Names
    origins: Origins
    texts: Mapping[int, str] = field(default_factory=dict[int, str])
    shared: dict[str, str] = field(default_factory=dict[str, str])
    #: Each asset that is used, by its code: itself, and how often.
    assets: dict[str, UsedAsset] = field(default_factory=dict[str, "UsedAsset"])
    #: The id() of each text and number with an origin that is written.
    written: set[int] = field(default_factory=set[int])

    def refuse_what_is_lost(self) -> None:
        """Raise EjectError if a value's origin is in no code: the value alone would be written."""
        lost = [*self.origins.lost]
        done = {self.origins.places[found] for found in self.written}
        lost += [path for path in self.origins.places.values() if path not in done]
        if lost:
            reason = (
                "the value is converted when the dictionary is read, so that only what it is now "
                "could be written, and not its origin"
            )
            refuse(reason, lost[0])

    def code(self, value: Any, refer: Refer, path: Path = ()) -> Code:
        """Return the code of a value. Raises EjectError with the path of what cannot be written."""
        try:
            return self._code(value, refer, path)
        except EjectError as refusal:
            raise refusal.at(path) from refusal

    def kwargs(self, given: Mapping[str, Any], refer: Refer, path: Path) -> dict[str, Code]:
        """Return the code of each argument."""
        return {key: self.code(value, refer, (*path, key)) for key, value in given.items()}

    def _code(self, value: Any, refer: Refer, path: Path) -> Code:
        if id(value) in self.texts:
            return self.texts[id(value)]
        if id(value) in self.names.known:
            return self.names.known[id(value)]
        origin = self.origins.of(value)
        if origin is not None:
            self.written |= {id(value)} & self.origins.places.keys()
            return self._of_origin(value, origin, refer, path)
        if isinstance(value, Output | Argument):
            return self._reference(value, refer)
        if isinstance(value, Combined):
            return self._combined(value, refer, path)
        plain = self._plain(value, refer, path)
        return self._object(value, refer, path) if plain is None else plain

    def _reference(self, value: Output | Argument, refer: Refer) -> Code:
        code = refer(value)
        if isinstance(value, Argument):
            return code
        if value.key != RETURN_VALUE:
            code = Joined(parts=(code, f"[{text(value.key)}]"))
        return self._mapped(code, value.functions)

    def _mapped(self, code: Code, functions: tuple[Any, ...]) -> Code:
        for function in functions:
            code = call(attribute(code, "map"), [self.function(function)])
        return code

    def _combined(self, value: Combined, refer: Refer, path: Path) -> Code:
        first, *rest = [self.code(part, refer, path) for part in value.parts]
        options = self.kwargs(value.options, refer, path)
        return self._mapped(call(attribute(first, value.how), rest, options), value.functions)

    def function(self, value: Any) -> str:
        """Return the code that names a function or class."""
        origin = self.origins.of(value)
        return self.names.of_object(value, origin.path if isinstance(origin, Imported) else "")

    def _of_origin(self, value: Any, origin: Origin, refer: Refer, path: Path) -> Code:
        match origin:
            case Imported() if id(value) in self.origins.places:
                return self.names.of_path(origin.path)
            case Imported():
                return self.names.of_object(value, origin.path)
            case Expression():
                for module in origin.modules:
                    self.names.imported(module)
                return origin.code
            case FromEnvironment():
                return self._environment(origin)
            case WithBaseUrl():
                return self._with_base_url(origin)
            case Called():
                return self._called(value, origin, refer, path)

    def _with_base_url(self, origin: WithBaseUrl) -> Code:
        name = f"{self.names.imported('airflow', 'configuration')}.conf.get"
        fallback = {"fallback": text(airflow_internals.DEFAULT_BASE_URL)}
        found = call(name, [text("api"), text("base_url")], fallback)
        found = call(attribute(found, "rstrip"), [text("/")])
        return call(attribute(text(origin.text), "replace"), [text(origin.mark), found])

    def _environment(self, origin: FromEnvironment) -> Code:
        os = self.names.imported("os")
        found = f"{os}.environ[{text(origin.name)}]"
        if origin.default is not NOTHING:
            default = json.dumps(origin.default) if origin.as_json else origin.default
            if not isinstance(default, str):
                reason = f"the default of the environment variable {origin.name!r} is not text"
                refuse(reason)
            found = f"{os}.environ.get({text(origin.name)}, {text(default)})"
        if origin.as_json:
            found = f"{self.names.imported('json')}.loads({found})"
        return found

    def _called(self, value: Any, origin: Called, refer: Refer, path: Path) -> Code:
        if isinstance(value, airflow_internals.base_asset()):
            return self._asset(value, origin, refer, path)
        return self._call(origin, refer, path)

    def _call(self, origin: Called, refer: Refer, path: Path) -> Code:
        name = self.function(origin.factory)
        args = [self.code(arg, refer, path) for arg in origin.args]
        kwargs: dict[str, Code] = {}
        for key, value in origin.kwargs.items():
            write = self.assets_of if key == "assets" else self.code
            kwargs[key] = write(value, refer, (*path, key))
        return call(name, args, kwargs)

    # Values of Python itself

    def _plain(self, value: Any, refer: Refer, path: Path) -> Code | None:
        match value:
            case enum.Enum():
                return f"{self.names.of_object(type(value))}.{value.name}"
            case None | bool() | int():
                return repr(value)
            case float():
                return repr(value) if math.isfinite(value) else f'float("{value}")'
            case str():
                return text(value)
            case bytes() | decimal.Decimal() | uuid.UUID():
                return self._short(value)
            case list():
                return sequence("[", self._items(cast("list[Any]", value), refer, path), "]")
            case tuple() if type(cast("object", value)) is tuple:
                return sequence("(", self._items(cast("Any", value), refer, path), ")")
            case set() | frozenset():
                return self._set(cast("set[Any]", value), refer, path)
            case dict():
                items = cast("dict[Any, Any]", value).items()
                return mapping(
                    (self.code(key, refer, path), self.code(item, refer, (*path, str(key))))
                    for key, item in items
                )
            case _:
                return self._time(value)

    def _items(self, items: list[Any], refer: Refer, path: Path) -> list[Code]:
        return [self.code(item, refer, (*path, index)) for index, item in enumerate(items)]

    def _set(self, value: set[Any] | frozenset[Any], refer: Refer, path: Path) -> Code:
        items = sorted((self.code(item, refer, path) for item in value), key=flat)
        if not items:
            return f"{type(value).__name__}()"
        braces = sequence("{", items, "}")
        return call("frozenset", [braces]) if isinstance(value, frozenset) else braces

    def _short(self, value: Any) -> Code:
        if isinstance(value, bytes):
            return repr(value)
        return call(self.names.of_object(type(value)), [text(str(value))])

    def _time(self, value: Any) -> Code | None:
        match value:
            case dt.timedelta():
                return self._duration(value)
            case dt.datetime():
                return self._moment(value)
            case dt.date():
                parts = [str(part) for part in (value.year, value.month, value.day)]
                return call(self.names.imported("datetime", "date"), parts)
            case dt.time() if value.tzinfo is None:
                parts = [str(part) for part in _clock(value)] or ["0"]
                return call(self.names.imported("datetime", "time"), parts)
            case dt.tzinfo():
                return self._zone(value)
            case _:
                return None

    def _duration(self, value: dt.timedelta) -> Code:
        rest = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
        sign, rest = (-1, -rest) if rest < 0 else (1, rest)
        kwargs: dict[str, Code] = {}
        for unit, size in (*_UNITS, *_SMALL_UNITS):
            count, rest = divmod(rest, size)
            if count:
                kwargs[unit] = str(sign * count)
        args = {} if kwargs else {"seconds": "0"}
        return call(self.names.imported("datetime", "timedelta"), (), kwargs or args)

    def _moment(self, value: dt.datetime) -> Code:
        import pendulum

        zone = getattr(value.tzinfo, "name", None)
        parts = [str(part) for part in (value.year, value.month, value.day, *_clock(value))]
        if isinstance(zone, str) and isinstance(value.tzinfo, pendulum.Timezone):
            numbers = [int(part) for part in parts]
            made: Any = pendulum.datetime(*numbers, tz=zone)
            if (made, made.utcoffset()) == (value, value.utcoffset()):
                name = f"{self.names.imported('pendulum')}.datetime"
                return call(name, parts, {"tz": text(zone)})
        kwargs: dict[str, Code] = {}
        if value.tzinfo is not None:
            kwargs["tzinfo"] = self._zone(value.tzinfo)
        if value.fold:
            kwargs["fold"] = "1"
        return call(self.names.imported("datetime", "datetime"), parts, kwargs)

    def _zone(self, value: dt.tzinfo) -> Code:
        import pendulum

        if value is dt.UTC:
            return f"{self.names.imported('datetime', 'timezone')}.utc"
        if isinstance(value, dt.timezone):
            offset = self._duration(value.utcoffset(None))
            return call(self.names.imported("datetime", "timezone"), [offset])
        zone = getattr(value, "name", None) or getattr(value, "key", None)
        if isinstance(value, pendulum.Timezone | pendulum.FixedTimezone) and zone:
            name = f"{self.names.imported('pendulum')}.timezone"
            given = text(zone)
            if isinstance(value, pendulum.FixedTimezone):
                given = str(int(value.utcoffset(None).total_seconds()))
            return call(name, [given])
        if zone:
            return call(self.names.of_object(type(value)), [text(str(zone))])
        reason = f"the time zone {value!r} cannot be written as Python"
        raise EjectError(reason)

    # Objects

    def _object(self, value: Any, refer: Refer, path: Path) -> Code:
        if isinstance(value, airflow_internals.base_asset()):
            return self._asset(value, None, refer, path)
        if isinstance(value, (type, *_FUNCTIONS)):
            return self.function(value)
        if isinstance(value, functools.partial):
            return self._partial(cast("functools.partial[Any]", value), refer, path)
        if isinstance(value, pathlib.PurePath):
            return call(self.names.of_object(_public_path(value)), [text(str(value))])
        if (named := airflow_internals.deadline_reference_name(value)) is not None:
            return f"{self.names.imported('airflow.sdk', 'DeadlineReference')}.{named}"
        made = airflow_internals.how_made(value)
        if made is None and dataclasses.is_dataclass(value) and not isinstance(value, type):
            made = {
                one.name: getattr(value, one.name) for one in dataclasses.fields(value) if one.init
            }
        if made is None:
            self.names.of_object(value)  # raises why
            refuse(f"{type(value).__name__} cannot be written as Python")
        return call(self.names.of_object(type(value)), (), self.kwargs(made, refer, path))

    def _partial(self, value: functools.partial[Any], refer: Refer, path: Path) -> Code:
        args = [self.function(value.func), *self._items(list(value.args), refer, path)]
        kwargs = self.kwargs(value.keywords, refer, path)
        return call(self.names.imported("functools", "partial"), args, kwargs)

    # Assets

    def _asset(self, value: Any, origin: Called | None, refer: Refer, path: Path) -> Code:
        operator = airflow_internals.asset_operator(value)
        if operator:
            return self._condition(value, operator, refer, path)
        if origin is not None:
            code = self._call(origin, refer, path)
        else:
            made = airflow_internals.how_made(value) or {}
            code = call(self.names.of_object(type(value)), (), self.kwargs(made, refer, path))
        key = flat(code)
        used = self.assets.setdefault(key, UsedAsset(asset=value, code=code))
        used.count += 1
        return self.shared.get(key, code)

    def _condition(self, value: Any, operator: str, refer: Refer, path: Path) -> Code:
        """``(orders & stock) | prices``, or a call for what an operator would make another of."""
        objects = list(value.objects)
        codes = self._items(objects, refer, path)
        nested = type(objects[0]) is type(value)
        if len(codes) < 2 or nested:  # noqa: PLR2004
            return call(self.names.of_object(type(value)), codes)
        parts = [
            Joined(parts=("(", code, ")")) if airflow_internals.asset_operator(part) else code
            for code, part in zip(codes, objects, strict=True)
        ]
        return Operation(operator=operator, operands=tuple(parts))

    def assets_of(self, value: Any, refer: Refer, path: Path) -> Code:
        """Return the code of what a DAG is scheduled on: assets that are all needed are a list."""
        if airflow_internals.asset_operator(value) == "&":
            return sequence("[", self._items(list(value.objects), refer, path), "]")
        return self.code(value, refer, path)


def _clock(value: dt.time | dt.datetime) -> list[int]:
    """Return hour, minute, second and microsecond, without zeros at the end."""
    parts = [value.hour, value.minute, value.second, value.microsecond]
    while parts and not parts[-1]:
        parts.pop()
    return parts


def _public_path(value: pathlib.PurePath) -> type:
    return pathlib.Path if isinstance(value, pathlib.Path) else type(value)
