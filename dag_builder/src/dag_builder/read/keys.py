"""Which keys a dictionary may have, and what is meant by one that it may not."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

from dag_builder.errors import Path, Problems, listed
from dag_builder.fields import (
    DAG_FIELDS,
    DAG_OWN_FIELDS,
    IGNORED_ARGUMENTS,
    NOTIFY_KEYS,
    TASK_FIELDS,
    Kind,
)

#: The names that Airflow takes for DAGs, tasks and groups; its letters are those of any language.
DAG_ID = re.compile(r"[\w.\-]{1,250}")
DAG_ID_FORM = "up to 250 letters, digits, dashes, dots and underscores"
#: Keys of other versions and tools, and other words for a key, with the key that is meant.
_OTHER_WORDS = {
    "after": "upstream",
    "before": "downstream",
    "concurrency": "max_active_tasks",
    "cron": "schedule",
    "dependencies": "upstream",
    "depends_on": "upstream",
    "docs": "doc_md",
    "env": "python",
    "environment": "python",
    "interval": "schedule",
    "needs": "upstream",
    "op_kwargs": "arguments",
    "python_callable": "callable",
    "requires": "upstream",
    "schedule_interval": "schedule",
    "steps": "tasks",
    "task_concurrency": "max_active_tis_per_dag",
    "timeout": "execution_timeout",
    "timetable": "schedule",
    "type": "operator",
}
#: Keys whose mapping describes one thing, so that two such mappings are never joined.
_ONE_THING = frozenset(
    {Kind.SCHEDULE, Kind.CALLBACK, Kind.CALLABLE, Kind.DEADLINE, Kind.DURATION, Kind.MOMENT}
    | {Kind.ASSETS}
)
_NAMED_BY_ITS_KEY = frozenset({"task_id", "group_id", "task_group"})


@functools.cache
def dag_keys() -> frozenset[str]:
    """Every key of a DAG: the builder's own, and what this Airflow's DAG class takes."""
    from airflow.sdk import DAG

    arguments = set(inspect.signature(DAG).parameters) - {"dag_id", "task_group"}
    return frozenset(arguments | DAG_OWN_FIELDS.keys()) - {"sla_miss_callback"}


def refuse_unknown(
    problems: Problems,
    path: Path,
    what: str,
    given: Iterable[str],
    valid: Collection[str],
    *,
    first: Iterable[str] = (),
) -> None:
    """Note each key in `given`: `what` has no such key. `first` are the likeliest valid ones."""
    for key in given:
        text = str(key)
        other_word = _OTHER_WORDS.get(text, "")
        preferred = [name for name in first if name in valid]
        names = [*preferred, *sorted(set(valid) - set(preferred))]
        hint = ""
        if text in _NAMED_BY_ITS_KEY:
            hint = "the name of a task or group is its key in 'tasks'"
        elif text == "dag_id":
            hint = "the DAG's name is the first argument, or its key in 'dags'"
        elif text in IGNORED_ARGUMENTS:
            hint = IGNORED_ARGUMENTS[text]
        problems.add(
            (*path, text),
            f"{what} has no {text!r}",
            given=text,
            valid=listed(names),
            suggestion=other_word if other_word in valid else problems.closest(text, names),
            hint=hint,
            on_key=True,
        )


def merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`own` over `defaults`: mappings are joined key by key, tags are added up.

    A mapping that describes one thing (a callback, a duration, ``{"$object": …}``) is replaced.
    """
    result = dict(defaults)
    for key, value in own.items():
        default = result.get(key)
        if key == "tags" and isinstance(default, list) and isinstance(value, list):
            tags, more = cast("list[Any]", default), cast("list[Any]", value)
            result[key] = [*tags, *(tag for tag in more if tag not in tags)]
        elif isinstance(default, Mapping) and isinstance(value, Mapping):
            far, near = cast("Mapping[str, Any]", default), cast("Mapping[str, Any]", value)
            one = _is_one_thing(key, far) or _is_one_thing(key, near)
            result[key] = near if one else merged(far, near)
        else:
            result[key] = value
    return result


def _is_one_thing(key: str, value: Mapping[str, Any]) -> bool:
    field = DAG_FIELDS.get(key) or TASK_FIELDS.get(key)
    if field is not None and field.kind in _ONE_THING:
        return True
    if key == "notify" and value.keys() <= NOTIFY_KEYS:  # and not a task of this name
        return True
    return any(str(name)[:1] == "$" and str(name)[:2] not in {"$$", "${"} for name in value)


def joined(far: Any, near: Any) -> Any:
    """A value that was read over another one: dictionaries are joined, all else is replaced."""
    if not (isinstance(far, dict) and isinstance(near, dict)):
        return near
    below, above = cast("dict[str, Any]", far), cast("dict[str, Any]", near)
    return below | {key: joined(below.get(key), value) for key, value in above.items()}
