"""Check the values of Airflow's options as Airflow reads them: at its start, on every node."""

from __future__ import annotations

import difflib
import json
import math
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from infra.stack.yaml_values import as_object, is_object

if TYPE_CHECKING:
    from collections.abc import Callable


class Instead(NamedTuple):
    """What is valid in place of a value, and the likeliest one."""

    valid: str
    suggestion: str = ""


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


def instead_of(name: str, kind: str, text: str) -> Instead | None:
    """Return what is valid in place of ``text``; None if Airflow can read it.

    ``name`` is ``SECTION.OPTION``; ``kind`` is the option's in ``airflow_options.txt``.
    """
    may_be_empty, kind = kind.endswith("?"), kind.removesuffix("?")
    if name == CELERY_CONFIG:
        valid = _valid_celery_config(text)
    elif kind == "string" or (may_be_empty and not text):
        return None
    elif kind == "timezone":
        return _valid_time_zone(text)
    elif "|" in kind:
        values = kind.split("|")
        is_boolean = "boolean" in values and _is_boolean(text)
        valid = "" if text in values or is_boolean else f"one of {', '.join(values)}"
    else:
        check, expected = _KINDS[kind]
        valid = "" if check(text) else expected
    return Instead(valid) if valid else None


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


def _valid_time_zone(text: str) -> Instead | None:
    """Compare with the names that the image has, which are this package's as well."""
    if text == "system" or text.lower() == "utc":
        return None
    names = resources.files("tzdata").joinpath("zones").read_text().split()
    if text in names:
        return None
    same = [name for name in names if name.lower() == text.lower()]
    close = same or difflib.get_close_matches(text, names, n=1)
    return Instead("a time zone's name such as Europe/Berlin", close[0] if close else "")


def _valid_celery_config(text: str) -> str:
    """Return what is valid instead; empty if the text is valid."""
    try:
        config: object = json.loads(text)
    except ValueError:
        config = None
    if not is_object(config):
        return "a JSON object as a text; it is added to the project's own"
    if reserved := sorted(RESERVED_IN_CELERY_CONFIG & set(as_object(config))):
        return f"an object without {', '.join(reserved)}: these follow from the cluster"
    return ""
