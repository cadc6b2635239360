"""Converts a DAG's arguments and dates that dag-factory accepts and this library refuses.

Each is left out or made definite, with a note about it: the DAG does what it did before.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from dag_builder.dag_factory.zones import Zoned
from dag_builder.fields import DAG_FIELDS, DAG_OWN_FIELDS, TASK_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

_DATES = ("start_date", "end_date")
#: The keys of a DAG that dag-factory hands on, on Airflow 3.
_READ = frozenset(
    {
        "access_control",
        "catchup",
        "dag_display_name",
        "dagrun_timeout",
        "description",
        "doc_md",
        "end_date",
        "is_paused_upon_creation",
        "max_active_runs",
        "max_active_tasks",
        "on_failure_callback",
        "on_success_callback",
        "params",
        "render_template_as_native_obj",
        "schedule",
        "start_date",
        "tags",
        "template_searchpath",
        "user_defined_macros",
    }
)
_OLD_DAG_KEYS = frozenset({"schedule_interval", "concurrency", "dag_id"})
_AGO = re.compile(r"(\d+)\s*(minute|hour|day|week)s?", re.IGNORECASE)


def with_fixed_dates(given: Mapping[str, Any], path: str, notes: list[str]) -> dict[str, Any]:
    """Dates such as '2 days', which is before today's midnight, become what they are today.

    An offset goes: dag-factory puts the DAG's time zone in its place.
    """
    result = with_dates_as_text(given)
    for key in _DATES:
        if isinstance(result.get(key), Zoned):
            result[key] = str(result[key])
            continue
        _parse_as_pendulum(result, key)
        local = _without_offset(result.get(key))
        if local is not None:
            notes.append(
                f"{path}: {key!r} was {result[key]!r}; dag-factory took the DAG's time zone, "
                "whatever the offset"
            )
            result[key] = local
        ago = _AGO.fullmatch(str(result.get(key, "")).strip())
        if ago:
            midnight = dt.datetime.now(tz=dt.UTC).replace(
                hour=0, minute=0, second=0, microsecond=0, tzinfo=None
            )
            fixed = midnight - dt.timedelta(**{f"{ago[2].lower()}s": int(ago[1])})
            old = f"{result[key]!r}, which is relative to today"
            notes.append(f"{path}: {key!r} was {old}; it is {fixed} now")
            result[key] = fixed.isoformat(sep=" ", timespec="minutes")
    return result


def _parse_as_pendulum(result: dict[str, Any], key: str) -> None:
    """Forms such as '2024/01/05', '2024' and '2024-032', which Python's own parser refuses."""
    value = result.get(key)
    if not isinstance(value, str) or _is_iso(value):
        return
    import pendulum
    from pendulum.parsing.exceptions import ParserError

    try:
        found: Any = pendulum.parse(value)
    except (ParserError, ValueError):
        return
    if isinstance(found, dt.datetime):
        result[key] = found.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


def _is_iso(text: str) -> bool:
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return "-" in text and not re.fullmatch(r"\d{4}-\d{3}", text)


def with_dates_as_text(given: Mapping[str, Any]) -> dict[str, Any]:
    """The dates that PyYAML makes of bare words, as the text that this library reads."""
    result = dict(given)
    for key in _DATES:
        value = result.get(key)
        if isinstance(value, dt.datetime):
            result[key] = value.isoformat(sep=" ")
        elif isinstance(value, dt.date):
            result[key] = value.isoformat()
    return result


def _without_offset(value: object) -> str | None:
    try:
        moment = dt.datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if moment is None or moment.tzinfo is None:
        return None
    return moment.replace(tzinfo=None).isoformat(sep=" ")


def without_dag_keys(given: Mapping[str, Any], path: str, notes: list[str]) -> dict[str, Any]:
    """``default_args`` without the keys of a DAG, which no task takes and Airflow ignores."""
    result: dict[str, Any] = {}
    for key, value in given.items():
        if (key in DAG_FIELDS and key not in TASK_FIELDS) or key in _OLD_DAG_KEYS:
            notes.append(f"{path}: {key!r} in default_args was left out: Airflow ignored it there")
        else:
            result[key] = value
    return result


def is_of_tasks_only(key: str) -> bool:
    """Whether a DAG has no such key, though its tasks do."""
    return key in TASK_FIELDS and key not in DAG_FIELDS and key not in DAG_OWN_FIELDS


def is_ignored_by_dag_factory(key: str) -> bool:
    """Whether a DAG of this library has the key, and dag-factory passes it over."""
    return key in DAG_FIELDS and key not in _READ
