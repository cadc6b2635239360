"""Check the values of Airflow's options as Airflow reads them: at its start, on every node."""

from __future__ import annotations

import difflib
import json
import math
from importlib import resources
from typing import TYPE_CHECKING

from infra.stack.yaml_values import as_object, is_object

if TYPE_CHECKING:
    from collections.abc import Callable

CELERY_CONFIG = "celery.extra_celery_config"
RESERVED_IN_CELERY_CONFIG = frozenset(
    {
        "accept_content",
        "broker_transport_options",
        "broker_url",
        "event_serializer",
        "result_accept_content",
        "result_backend",
        "result_backend_always_retry",
        "result_backend_base_sleep_between_retries_ms",
        "result_backend_max_sleep_between_retries_ms",
        "result_serializer",
        "task_acks_late",
        "task_publish_retry_policy",
        "task_serializer",
        "worker_autoscaler",
        "worker_concurrency",
        "worker_pool",
        "worker_prefetch_multiplier",
    }
)
"""Keys that the project sets, or that Airflow has an option of its own for."""


def invalid(name: str, kind: str, text: str) -> str:
    """Return what is valid in place of ``text``; empty if Airflow can read it.

    ``name`` is ``SECTION.OPTION``; ``kind`` is the option's in ``airflow_options.txt``.
    """
    if name == CELERY_CONFIG:
        return _invalid_celery_config(text)
    may_be_empty, kind = kind.endswith("?"), kind.removesuffix("?")
    if kind == "string" or (may_be_empty and not text):
        return ""
    if "|" in kind:
        values = kind.split("|")
        is_boolean = "boolean" in values and _is_boolean(text)
        return "" if text in values or is_boolean else f"one of {', '.join(values)}"
    if kind == "timezone":
        return _invalid_time_zone(text)
    check, valid = _KINDS[kind]
    return "" if check(text) else valid


def _is_boolean(text: str) -> bool:
    return text.strip().lower() in {"t", "true", "1", "f", "false", "0"}


def _is_float(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _is_integer(text: str) -> bool:
    return _is_float(text) and float(text).is_integer()


_KINDS: dict[str, tuple[Callable[[str], bool], str]] = {
    "boolean": (_is_boolean, "True or False"),
    "integer": (_is_integer, "a whole number"),
    "float": (_is_float, "a number"),
}


def _invalid_time_zone(text: str) -> str:
    """Compare with the names that the image has, which are this package's as well."""
    if text == "system" or text.lower() == "utc":
        return ""
    names = resources.files("tzdata").joinpath("zones").read_text().split()
    if text in names:
        return ""
    same = [name for name in names if name.lower() == text.lower()]
    close = same or difflib.get_close_matches(text, names, n=1)
    return f"a time zone's name, as Europe/Berlin{f'; did you mean {close[0]}?' if close else ''}"


def _invalid_celery_config(text: str) -> str:
    try:
        config: object = json.loads(text)
    except ValueError:
        config = None
    if not is_object(config):
        return "a JSON object as a text; it is added to the project's own"
    if reserved := sorted(RESERVED_IN_CELERY_CONFIG & set(as_object(config))):
        return f"an object without {', '.join(reserved)}: these follow from the cluster"
    return ""
