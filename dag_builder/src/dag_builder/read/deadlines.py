"""Deadlines of a DAG: what to call when a run is late."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from dag_builder import airflow_internals
from dag_builder.errors import NOTHING, Path, listed
from dag_builder.fields import Kind
from dag_builder.read import times
from dag_builder.read.argument_types import is_marked

if TYPE_CHECKING:
    from dag_builder.read.values import Reader

DEADLINE_KEYS = ("reference", "interval", "callback", "name")
_DEADLINE_REFERENCES = ("dagrun_logical_date", "dagrun_queued_at", "average_runtime")
_AVERAGE = "average_runtime"
_AVERAGE_OPTIONS = ("max_runs", "min_runs")


def read_deadline(reader: Reader, value: Any, path: Path) -> Any:
    """``{reference:, interval:, callback:}`` as a DeadlineAlert, or a list of them."""
    if isinstance(value, list):
        items = cast("list[Any]", value)
        found = [_alerts(reader, item, (*path, index)) for index, item in enumerate(items)]
        alerts = [alert for of_one in found for alert in of_one]
        return NOTHING if NOTHING in alerts else alerts
    alerts = _alerts(reader, value, path)
    if NOTHING in alerts:
        return NOTHING
    return alerts[0] if len(alerts) == 1 else alerts


def _alerts(reader: Reader, value: Any, path: Path) -> list[Any]:
    """Return one deadline, and others of the same moment for the callbacks of the DAG's notify."""
    if not isinstance(value, Mapping):
        return _with_others(reader, _made_deadline(reader, value, path), path)
    mapping = cast("Mapping[str, Any]", value)
    if "$object" in mapping:
        return _with_others(reader, reader.new_object(mapping, path), path)
    before = len(reader.problems.found)
    for name in mapping:
        if name not in DEADLINE_KEYS:
            reader.problems.add_unknown(
                (*path, name), f"a deadline has no {name!r}", name, DEADLINE_KEYS, on_key=True
            )
    for name in ("reference", "interval", *(() if reader.of_deadlines else ("callback",))):
        if name not in mapping:
            reader.problems.add(path, f"a deadline needs {name!r}", valid=listed(DEADLINE_KEYS))
    if len(reader.problems.found) > before:
        return [NOTHING]
    reference = _deadline_reference(reader, mapping["reference"], (*path, "reference"))
    interval = _deadline_interval(reader, mapping["interval"], (*path, "interval"))
    callbacks = [*reader.of_deadlines]
    if "callback" in mapping:
        own = _deadline_callback(reader, mapping["callback"], (*path, "callback"))
        callbacks.insert(0, own)
    if NOTHING in (reference, interval, *callbacks):
        return [NOTHING]
    kwargs = {"reference": reference, "interval": interval, **_name_of(mapping)}
    return [_alert(reader, kwargs, callback, path) for callback in callbacks]


def _alert(reader: Reader, kwargs: Mapping[str, Any], callback: Any, path: Path) -> Any:
    made = airflow_internals.deadline_alert()
    return reader.call(made, (), {**kwargs, "callback": callback}, path)


def _with_others(reader: Reader, made: Any, path: Path) -> list[Any]:
    """Return a deadline that is already made, and others of the same moment."""
    if not isinstance(made, airflow_internals.deadline_alert()) or NOTHING in reader.of_deadlines:
        return [made]
    alert: Any = made
    kwargs = {"reference": alert.reference, "interval": alert.interval, "name": alert.name}
    return [alert, *(_alert(reader, kwargs, one, path) for one in reader.of_deadlines)]


def _made_deadline(reader: Reader, value: object, path: Path) -> Any:
    if isinstance(value, airflow_internals.deadline_alert()):
        return value
    reader.wrong(path, value, "{reference:, interval:, callback:}")
    return NOTHING


def _name_of(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": mapping["name"]} if "name" in mapping else {}


def _deadline_reference(reader: Reader, value: Any, path: Path) -> Any:
    references = airflow_internals.deadline_reference()
    if value == _AVERAGE:
        return reader.call(references.AVERAGE_RUNTIME, (), {}, path)
    if isinstance(value, str) and value in _DEADLINE_REFERENCES:
        return getattr(references, value.upper())
    if isinstance(value, Mapping) and _AVERAGE in value:
        return _average_runtime(reader, cast("Mapping[str, Any]", value), path)
    if isinstance(value, dt.date | str):
        try:
            moment = times.moment(value, reader.timezone)
        except ValueError:
            reader.problems.add_unknown(
                path, "this is not a reference for a deadline", str(value), _DEADLINE_REFERENCES
            )
            return NOTHING
        return reader.call(references.FIXED_DATETIME, (moment,), {}, path)
    if isinstance(value, int | float | list):
        reader.problems.add(
            path,
            "this is not a reference for a deadline",
            given=cast("object", value),
            valid=f"{listed(_DEADLINE_REFERENCES)}, or a date",
        )
        return NOTHING
    return reader.value(value, path)


def _average_runtime(reader: Reader, value: Mapping[str, Any], path: Path) -> Any:
    """``{average_runtime: {max_runs: 10, min_runs: 3}}``: late against the last runs."""
    given: Any = value[_AVERAGE] or {}
    if len(value) > 1 or not isinstance(given, Mapping):
        valid = "{average_runtime: {max_runs: 10, min_runs: 3}}"
        reader.wrong(path, cast("object", value), valid)
        return NOTHING
    options = cast("Mapping[str, Any]", given)
    before = len(reader.problems.found)
    for name, item in options.items():
        where = (*path, _AVERAGE, str(name))
        if name in _AVERAGE_OPTIONS:
            reader.count(item, where)
        else:
            reader.problems.add_unknown(
                where, f"an average has no {name!r}", str(name), _AVERAGE_OPTIONS, on_key=True
            )
    if len(reader.problems.found) > before:
        return NOTHING
    make = airflow_internals.deadline_reference().AVERAGE_RUNTIME
    return reader.call(make, (), options, path)


def _deadline_interval(reader: Reader, value: object, path: Path) -> Any:
    if is_marked(value):
        return reader.read(Kind.INTERVAL, value, path)
    written = isinstance(value, dt.timedelta | str | int | float | Mapping)
    return reader.interval(value, path) if written else reader.value(value, path)


def _deadline_callback(reader: Reader, value: Any, path: Path) -> Any:
    """A function, or ``{callback: function, argument: value}``, that the triggerer awaits."""
    kwargs: dict[str, Any] = {}
    inner = path
    if isinstance(value, Mapping):
        mapping = cast("Mapping[str, Any]", value)
        if "callback" not in mapping:
            return reader.value(mapping, path)
        kwargs = {
            key: reader.value(item, (*path, key))
            for key, item in mapping.items()
            if key != "callback"
        }
        value, inner = mapping["callback"], (*path, "callback")
        if NOTHING in kwargs.values() or reader.refuse_references(kwargs, path):
            return NOTHING
    if not isinstance(value, str) and not inspect.isroutine(value):
        if kwargs or isinstance(value, bool | int | float | list):
            reader.wrong(inner, cast("object", value), "an async function, or its import path")
            return NOTHING
        return value  # a ready callback, which DeadlineAlert checks
    found = reader.imported(value, inner)
    if found is NOTHING:
        return NOTHING
    options = {"kwargs": kwargs} if kwargs else {}
    # By its path, as Airflow stores it: the function is imported by the triggerer.
    return reader.call(airflow_internals.async_callback(), (found,), options, inner)
