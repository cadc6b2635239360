"""When a DAG runs: cron, presets, durations, dates, assets and timetables."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from dag_builder import airflow_internals
from dag_builder.errors import NOTHING, Path, closest, listed
from dag_builder.read import assets, times

if TYPE_CHECKING:
    from dag_builder.read.values import Reader

PRESETS = (
    "@once",
    "@continuous",
    "@hourly",
    "@daily",
    "@weekly",
    "@monthly",
    "@quarterly",
    "@yearly",
)
SCHEDULE_FORMS = (
    "a cron expression such as '0 6 * * 1-5', a preset such as '@daily', a duration such as "
    "'10m', a list of assets, or one of {cron:}, {crons:}, {every:}, {dates:}, {assets:}, "
    "{all:}, {any:}, {timetable:}"
)
_CRON_OPTIONS = ("timezone", "interval", "run_immediately")
#: The keys that decide which schedule a mapping is, with the others it may have.
FORMS: dict[str, tuple[str, ...]] = {
    # These first: the arguments of a timetable may be named like any other form.
    "timetable": (),
    "$object": (),
    "cron": (*_CRON_OPTIONS, "assets"),
    "crons": (*_CRON_OPTIONS, "assets"),
    "every": ("interval", "assets"),
    "dates": ("restrict_to_events", "description", "assets"),
    "all": (),
    "any": (),
    "assets": ("cron", "crons", "every", "dates"),
}
#: Keys by which a mapping is one asset.
_ASSET = frozenset({"uri", "name", "alias"})
_HOLDS = {
    "cron": "text such as '0 6 * * *' (several go in 'crons')",
    "crons": "a list of cron expressions",
    "dates": "a list of dates",
}


def read_schedule(reader: Reader, value: Any, path: Path) -> Any:
    """A schedule in any of SCHEDULE_FORMS; an Airflow timetable or asset is taken as it is."""
    if isinstance(value, str):
        return _read_text(reader, value, path)
    if isinstance(value, Mapping):
        return _read_mapping(reader, cast("Mapping[str, Any]", value), path)
    if isinstance(value, list):
        return assets.read_condition(reader, value, path)
    if isinstance(value, bool):
        reader.problems.add(path, "this is not a valid schedule", given=value, valid=SCHEDULE_FORMS)
        return NOTHING
    if isinstance(value, int | float):
        return reader.interval(value, path)
    if isinstance(value, dt.timedelta):
        return reader.interval(value, path)
    return value


def _read_text(reader: Reader, text: str, path: Path) -> Any:
    if text in PRESETS or _cron_fault(text) is None:
        return text
    if _is_cron(text):
        reader.problems.add(
            path, f"this cron expression never fires: {_cron_fault(text)}", given=text
        )
        return NOTHING
    if text.startswith("@"):
        reader.problems.add_unknown(path, f"there is no preset {text!r}", text, PRESETS)
        return NOTHING
    try:
        times.duration(text)
    except ValueError:
        hint = ""
        if text.strip().lower() in {"none", "null", "never", ""}:
            hint = "for no schedule, leave the key out (or write null in YAML, None in Python)"
        elif len(text.split()) == 5:  # noqa: PLR2004 - a cron expression has five fields
            hint = f"as a cron expression: {_cron_fault(text)}"
        presets = [name for name in PRESETS if closest(text.lower(), [name.removeprefix("@")])]
        reader.problems.add(
            path,
            "this is not a valid schedule",
            given=text,
            valid=SCHEDULE_FORMS,
            suggestion=presets[0] if presets else "",
            hint=hint,
        )
        return NOTHING
    return reader.interval(text, path)


@functools.lru_cache(maxsize=1024)
def _cron_fault(expression: str) -> str | None:
    """What croniter (which Airflow uses) finds wrong, or None for a good expression."""
    from croniter import CroniterBadCronError, CroniterBadDateError, croniter

    try:
        croniter(expression).get_next()
    except (CroniterBadCronError, CroniterBadDateError) as error:
        return str(error)
    return None


def _is_cron(text: str) -> bool:
    """Return whether text has the form of a cron expression, though no moment fits it."""
    from croniter import CroniterBadCronError, CroniterBadDateError, croniter

    try:
        croniter(text)
    except (CroniterBadCronError, CroniterBadDateError):
        return False
    return True


def in_timezone(schedule: Any, zone: Any, dag_zone: Any) -> Any:
    """Return a cron or preset as a timetable in `zone`, if Airflow would take another zone for it.

    Airflow takes the zone of a plain cron from the DAG's start_date, `dag_zone`.
    """
    moves_with_zone = isinstance(schedule, str) and schedule not in {"@once", "@continuous"}
    if not moves_with_zone or str(zone) == str(dag_zone):
        return schedule
    return airflow_internals.cron_timetable(schedule, zone)


def _read_mapping(reader: Reader, value: Mapping[str, Any], path: Path) -> Any:
    form = next((name for name in FORMS if name in value), None)
    if form is None and not _ASSET.isdisjoint(value):
        return [asset] if (asset := assets.read_asset(reader, value, path)) else NOTHING
    if form is None:
        unknown = next(iter(value), "")
        reader.problems.add(
            path,
            "this mapping is not a schedule",
            given=dict(value),
            valid=listed(FORMS),
            suggestion=closest(str(unknown), FORMS),
        )
        return NOTHING
    if form == "timetable":
        return reader.new_object(
            {"$object": value["timetable"]} | {k: v for k, v in value.items() if k != "timetable"},
            path,
        )
    if form == "$object":
        return reader.new_object(value, path)
    unknown_keys = [name for name in value if name != form and name not in FORMS[form]]
    for name in unknown_keys:
        reader.problems.add_unknown(
            (*path, name),
            f"a schedule with {form!r} has no {name!r}",
            name,
            FORMS[form],
            on_key=True,
        )
    if unknown_keys:
        return NOTHING
    if form in {"all", "any"}:
        return assets.read_condition(reader, value, path)
    timetable = _timetable(reader, form, value, path) if form != "assets" else None
    if "assets" not in value or timetable is NOTHING:
        return timetable
    condition = assets.read_condition(reader, value["assets"], (*path, "assets"))
    if condition is NOTHING or timetable is None:
        return condition
    from airflow.sdk import AssetOrTimeSchedule

    return reader.call(AssetOrTimeSchedule, (), {"timetable": timetable, "assets": condition}, path)


def _timetable(reader: Reader, form: str, value: Mapping[str, Any], path: Path) -> Any:
    """The timetable of a cron, crons, every or dates mapping."""
    from airflow.sdk import (
        CronTriggerTimetable,
        DeltaTriggerTimetable,
        MultipleCronTriggerTimetable,
    )

    inner = (*path, form)
    options = {k: v for k, v in value.items() if k not in {form, "assets"}}
    if not _read_options(reader, options, path):
        return NOTHING
    if form == "every":
        delta = reader.interval(value["every"], inner)
        if delta is NOTHING:
            return NOTHING
        return reader.call(DeltaTriggerTimetable, (delta,), options, path)
    given = value[form]
    if not _is_held(form, given):
        reader.wrong(inner, cast("object", given), _HOLDS[form])
        return NOTHING
    items: list[Any] = [given] if form == "cron" else list(given)
    if form == "dates":
        dates = [reader.moment(item, (*inner, i)) for i, item in enumerate(items)]
        if NOTHING in dates:
            return NOTHING
        return reader.call(airflow_internals.events_timetable(), (dates,), options, path)
    options.setdefault("timezone", reader.timezone)
    wrong = [text for text in items if _cron_fault(str(text)) is not None]
    for text in wrong:
        reader.problems.add(
            inner, f"this is not a valid cron expression: {_cron_fault(str(text))}", given=text
        )
    if wrong:
        return NOTHING
    kind = CronTriggerTimetable if form == "cron" else MultipleCronTriggerTimetable
    return reader.call(kind, items, options, path)


def _read_options(reader: Reader, options: dict[str, Any], path: Path) -> bool:
    """Read the keys beside cron, crons, every or dates; return whether they are valid."""
    before = len(reader.problems.found)
    for key, given in options.items():
        where = (*path, key)
        if key == "interval":
            options[key] = reader.delay(given, where)
        elif key == "timezone" and not isinstance(given, dt.tzinfo):
            reader.is_zone(given, where)
        elif key == "run_immediately" and not isinstance(given, bool | None):
            options[key] = reader.delay(given, where)
        elif key == "restrict_to_events":
            reader.typed(given, where, types=(bool,), valid="true or false")
        elif key == "description" and given is not None:
            reader.typed(given, where, types=(str,), valid="text")
    return len(reader.problems.found) == before


def _is_held(form: str, given: object) -> bool:
    return bool(given) and isinstance(given, str if form == "cron" else (list, tuple))
