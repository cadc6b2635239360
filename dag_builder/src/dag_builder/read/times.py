"""Durations and moments, written the way people write them."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Mapping
from typing import Any, cast

DURATION_FORMS = "seconds as a number, '90s', '5m', '1h30m', '2 days', '00:05:00' or {minutes: 5}"
TIME_FORMS = "'06:30' or '06:30:00'"
MOMENT_FORMS = "'2026-01-31', '2026-01-31 06:30' or '2026-01-31T06:30:00+01:00'"

_UNITS: dict[str, float] = {
    "ms": 0.001,
    "millisecond": 0.001,
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hr": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
    "w": 604800,
    "week": 604800,
}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)[\s,]*")
_CLOCK = re.compile(r"(\d+):([0-5]\d):([0-5]\d)")
_MOVING = re.compile(
    r"\b(now|today|yesterday|tomorrow|ago|last|next)\b|^-?\d+ *(hour|day|week|month|year)s?$",
    re.IGNORECASE,
)


def duration(value: object) -> dt.timedelta:
    """A length of time from any of DURATION_FORMS. Raises ValueError if it is not one."""
    if isinstance(value, dt.timedelta):
        return value
    if isinstance(value, str):
        return _duration_of_text(value)
    if isinstance(value, bool):
        message = "a duration cannot be true or false"
        raise ValueError(message)  # noqa: TRY004
    if isinstance(value, int | float):
        return _timedelta(seconds=value)
    if isinstance(value, Mapping):
        return _duration_of_mapping(cast("Mapping[Any, Any]", value))
    message = "this is not a duration"
    raise ValueError(message)


@functools.lru_cache(maxsize=1024)
def _duration_of_text(text: str) -> dt.timedelta:
    clock = _CLOCK.fullmatch(text.strip())
    if clock:
        hours, minutes, seconds = (int(part) for part in clock.groups())
        return _timedelta(hours=hours, minutes=minutes, seconds=seconds)
    lowered = text.strip().lower()
    seconds, position = 0.0, 0
    while part := _PART.match(lowered, position):
        unit = part[2] if part[2] in _UNITS else part[2].removesuffix("s")
        if unit not in _UNITS:
            message = f"{part[2]!r} is not a unit of time"
            raise ValueError(message)
        seconds += float(part[1]) * _UNITS[unit]
        position = part.end()
    if not lowered or position != len(lowered):
        message = "this is not a duration"
        raise ValueError(message)
    return _timedelta(seconds=seconds)


def _timedelta(**parts: float) -> dt.timedelta:
    try:
        return dt.timedelta(**parts)
    except (OverflowError, ValueError) as error:  # ValueError: not a number
        message = "this is longer than any duration can be"
        raise ValueError(message) from error


def _duration_of_mapping(parts: Mapping[Any, Any]) -> dt.timedelta:
    units = {"weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds"}
    unknown = [str(name) for name in parts if name not in units]
    if unknown:
        message = f"{unknown[0]!r} is not a unit of time: use {', '.join(sorted(units))}"
        raise ValueError(message)
    try:
        return _timedelta(**parts)
    except TypeError as error:
        message = f"the parts of a duration are numbers: {error}"
        raise ValueError(message) from error


def time_of_day(value: object) -> dt.time:
    """A time of day from any of TIME_FORMS. Raises ValueError if it is not one."""
    if isinstance(value, dt.time):
        return value
    message = "this is not a time of day"
    if not isinstance(value, str):
        raise ValueError(message)  # noqa: TRY004
    try:
        return dt.time.fromisoformat(value.strip())
    except ValueError as error:
        raise ValueError(message) from error


def moment(value: object, timezone: str) -> dt.datetime:
    """A moment from any of MOMENT_FORMS, in `timezone` if it does not name one itself.

    Raises ValueError if it is not one, or is relative to the current time ('yesterday'), which
    would give the DAG a new version at every parse.
    """
    if isinstance(value, dt.datetime):
        return value if value.tzinfo else value.replace(tzinfo=zone(timezone))
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=zone(timezone))
    if isinstance(value, str):
        return _moment_of_text(value, timezone)
    message = "this is not a date"
    raise ValueError(message)


@functools.lru_cache(maxsize=1024)
def _moment_of_text(text: str, timezone: str) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(text.strip())
    except ValueError as error:
        message = "this is not a date"
        if _MOVING.search(text):
            message = "a date that moves with the clock changes the DAG at every parse"
        raise ValueError(message) from error
    return found if found.tzinfo else found.replace(tzinfo=zone(timezone))


@functools.lru_cache(maxsize=64)
def zone(name: str) -> dt.tzinfo:
    """A time zone of the IANA database, as Airflow expects it. Raises ValueError."""
    import pendulum
    from pendulum.tz.exceptions import InvalidTimezone

    if not isinstance(cast("object", name), str):  # pendulum takes a number for a fixed offset
        message = "this is not the name of a time zone"
        raise ValueError(message)  # noqa: TRY004
    try:
        return pendulum.timezone(name)
    except (InvalidTimezone, ValueError) as error:
        message = f"there is no time zone {name!r}"
        raise ValueError(message) from error
