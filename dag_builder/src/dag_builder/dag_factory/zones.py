"""Time zones of dag-factory: a DAG's ``timezone`` applies to its own dates alone.

A date in default_args is in the zone given there, else in UTC. Airflow takes the zone of a
cron from the date that counts: the DAG's own start_date before that of default_args.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, cast

from dag_builder.read.times import zone

if TYPE_CHECKING:
    from collections.abc import Mapping

_DATES = ("start_date", "end_date")
_UTC = "UTC"


def with_zone(
    given: Mapping[str, Any], default: Mapping[str, Any], name: str, notes: list[str]
) -> tuple[dict[str, Any], str]:
    """Return a DAG without its zones, and the zone of its cron (empty if nothing names one).

    Dates of another zone get their offset written out.
    """
    result = dict(given)
    args = dict(cast("Mapping[str, Any]", given.get("default_args") or {}))
    far = cast("Mapping[str, Any]", default.get("default_args") or {})
    own_zone = str(result.pop("timezone", None) or default.get("timezone") or _UTC)
    args_zone = str(args.pop("timezone", None) or far.get("timezone") or _UTC)
    if {own_zone, args_zone} == {_UTC}:
        return result, ""
    has_own = _has_date(result) or _has_date(default)
    chosen = own_zone if has_own else args_zone
    if not has_own and own_zone != _UTC:
        notes.append(
            f"{name}: 'timezone' was left out: dag-factory applies it to the DAG's own start_date "
            "and end_date, and there is none"
        )
    if own_zone != chosen:
        result |= _with_offsets(result, own_zone)
    if "default_args" in given:
        result["default_args"] = args | (
            _with_offsets(args, args_zone) if args_zone != chosen else {}
        )
    return result, "" if chosen == _UTC and not default else chosen


def _has_date(given: Mapping[str, Any]) -> bool:
    return given.get("start_date") is not None


def _with_offsets(given: Mapping[str, Any], zone_name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in _DATES:
        value = given.get(key)
        try:
            moment = dt.datetime.fromisoformat(str(value))
        except ValueError:
            continue  # nothing, or a date that is relative to today
        found[key] = Zoned(moment.replace(tzinfo=zone(zone_name)).isoformat(sep=" "))
    return found


class Zoned(str):
    """A date whose offset is meant, unlike those of the file, which dag-factory ignores."""

    __slots__ = ()
