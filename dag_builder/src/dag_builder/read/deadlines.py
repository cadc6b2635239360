"""Deadlines of a DAG: what to call when a run is late."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from dag_builder import airflow_internals
from dag_builder.errors import NOTHING, Path, listed
from dag_builder.read import times

if TYPE_CHECKING:
    from dag_builder.read.values import Reader

_DEADLINE_KEYS = ("reference", "interval", "callback", "name")
_DEADLINE_REFERENCES = ("dagrun_logical_date", "dagrun_queued_at")


def read_deadline(reader: Reader, value: Any, path: Path) -> Any:
    """``{reference:, interval:, callback:}`` as a DeadlineAlert, or a list of them."""
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [read_deadline(reader, item, (*path, index)) for index, item in enumerate(items)]
    if not isinstance(value, Mapping):
        return _made_deadline(reader, value, path)
    mapping = cast("Mapping[str, Any]", value)
    if "$object" in mapping:
        return reader.new_object(mapping, path)
    before = len(reader.problems.found)
    for name in mapping:
        if name not in _DEADLINE_KEYS:
            reader.problems.add_unknown(
                (*path, name), f"a deadline has no {name!r}", name, _DEADLINE_KEYS, on_key=True
            )
    for name in ("reference", "interval", "callback"):
        if name not in mapping:
            reader.problems.add(path, f"a deadline needs {name!r}", valid=listed(_DEADLINE_KEYS))
    if len(reader.problems.found) > before:
        return NOTHING
    reference = _deadline_reference(reader, mapping["reference"], (*path, "reference"))
    interval = reader.duration(mapping["interval"], (*path, "interval"))
    callback = _deadline_callback(reader, mapping["callback"], (*path, "callback"))
    if NOTHING in (reference, interval, callback):
        return NOTHING
    kwargs = {"reference": reference, "interval": interval, "callback": callback}
    return reader.call(airflow_internals.deadline_alert(), (), kwargs | _name_of(mapping), path)


def _made_deadline(reader: Reader, value: object, path: Path) -> Any:
    if isinstance(value, airflow_internals.deadline_alert()):
        return value
    reader.wrong(path, value, "{reference:, interval:, callback:}")
    return NOTHING


def _name_of(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": mapping["name"]} if "name" in mapping else {}


def _deadline_reference(reader: Reader, value: Any, path: Path) -> Any:
    references = airflow_internals.deadline_reference()
    if isinstance(value, str) and value in _DEADLINE_REFERENCES:
        return getattr(references, value.upper())
    if isinstance(value, dt.date | str):
        try:
            return references.FIXED_DATETIME(times.moment(value, reader.timezone))
        except ValueError:
            reader.problems.add_unknown(
                path, "this is no reference for a deadline", str(value), _DEADLINE_REFERENCES
            )
            return NOTHING
    if isinstance(value, int | float | list):
        reader.problems.add(
            path,
            "this is no reference for a deadline",
            given=cast("object", value),
            valid=f"{listed(_DEADLINE_REFERENCES)}, or a date",
        )
        return NOTHING
    return reader.value(value, path)


def _deadline_callback(reader: Reader, value: Any, path: Path) -> Any:
    """An import path becomes an asynchronous callback, which the triggerer runs."""
    if isinstance(value, str):
        return reader.call(airflow_internals.async_callback(), (value,), {}, path)
    return reader.value(value, path)
