"""The setting ``airflowConfig``: any option of Airflow's, for all of its services on the swarm.

The known options are in ``airflow_options.txt``, which ``tools/airflow_options.py`` writes.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from pydantic import SecretStr

from infra.project import ROOT
from infra.settings_report import HIDDEN
from infra.stack.yaml_values import as_object, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.setting_types import Problem

KEY = "airflowConfig"
OPTIONS_FILE = ROOT / "infra/airflow_options.txt"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_HIDDEN_NAME = re.compile(r"password|secret|token|key|conn|dsn|kwargs|args")

_FOLLOWS = "nothing: it follows from the cluster"
OWNED = {
    "api.base_url": _FOLLOWS,
    "api.port": "nothing: set webPort",
    "api.secret_key": "nothing: it is generated; rotateSecrets.api_secret_key makes another",
    "api_auth.jwt_issuer": _FOLLOWS,
    "api_auth.jwt_secret": "nothing: it is generated; rotateSecrets.jwt_secret makes another",
    "celery.broker_url": _FOLLOWS,
    "celery.flower_basic_auth": "nothing: rotateSecrets.flower_password makes another password",
    "celery.flower_port": "nothing: set flowerPort",
    "celery.result_backend": _FOLLOWS,
    "celery.worker_autoscale": (
        "nothing: parallelism is the number of slots, which would vary; set workerConcurrency"
    ),
    "celery.worker_concurrency": "nothing: set workerConcurrency",
    "celery_broker_transport_options.visibility_timeout": _FOLLOWS,
    "core.auth_manager": _FOLLOWS,
    "core.dags_folder": "nothing: the DAGs are in the image",
    "core.execution_api_server_url": _FOLLOWS,
    "core.executor": "nothing: the swarm's tasks run by the CeleryExecutor",
    "core.fernet_key": "nothing: set fernetKey, with --secret",
    "core.hostname_callable": _FOLLOWS,
    "core.parallelism": (
        "nothing: it follows from the slots that exist; set workers, workersPerNode or"
        " workerConcurrency"
    ),
    "database.sql_alchemy_conn": _FOLLOWS,
    "database.sql_alchemy_conn_async": _FOLLOWS,
    "logging.base_log_folder": _FOLLOWS,
    "logging.dag_processor_log_target": "nothing: its log is the container's, which is bounded",
    "logging.trigger_log_server_port": _FOLLOWS,
    "logging.worker_log_server_port": _FOLLOWS,
    "scheduler.enable_health_check": _FOLLOWS,
    "scheduler.scheduler_health_check_server_port": _FOLLOWS,
}
"""Options that the project sets itself, and what to set in their place."""


@dataclass(frozen=True, kw_only=True)
class AirflowConfig:
    """What the services get: variables by name, and secrets by the variable that names them."""

    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


def airflow_config(given: Mapping[str, Mapping[str, object]]) -> AirflowConfig:
    """Split options that have no problem; a `SecretStr` is one that the user marked as secret."""
    variables: dict[str, str] = {}
    secrets: dict[str, str] = {}
    for section, options in given.items():
        for option, value in options.items():
            name = f"AIRFLOW__{section}__{option}".upper()
            if isinstance(value, SecretStr):
                secrets[name] = value.get_secret_value()
            else:
                variables[name] = str(value)
    return AirflowConfig(variables=variables, secrets=secrets)


def airflow_problems(raw: Mapping[str, object]) -> Iterator[Problem]:
    """Find options that Airflow does not have, that the project owns, or that cannot be secret."""
    if not is_object(raw.get(KEY)):
        return
    for section, options in as_object(raw[KEY]).items():
        if not is_object(options):
            given = HIDDEN if isinstance(options, SecretStr) else options
            yield (f"{KEY}.{section}", given, f"an object: set {KEY}.SECTION.OPTION")
            continue
        for option, value in as_object(options).items():
            valid = _valid(section, option, value)
            if valid:
                hidden = isinstance(value, SecretStr) or _HIDDEN_NAME.search(option)
                yield (f"{KEY}.{section}.{option}", HIDDEN if hidden else value, valid)


def unknown_sections(given: Mapping[str, object]) -> list[str]:
    """Return the sections that only a package of the user's can have."""
    return sorted(set(given) - {option.partition(".")[0] for option in _known()})


def _valid(section: str, option: str, value: object) -> str:
    """Return what is valid in place of an option; empty if the option is valid."""
    name = f"{section}.{option}"
    if not (_NAME.fullmatch(section) and _NAME.fullmatch(option)):
        return "section and option in lower case, as in Airflow's configuration reference"
    if name in OWNED:
        return OWNED[name]
    if isinstance(value, dict | list):
        return "one text; write JSON as a text"
    is_known_section = any(known.startswith(f"{section}.") for known in _known())
    if is_known_section and name not in _known() and section not in _OPEN_SECTIONS:
        close = difflib.get_close_matches(name, _known(), n=1)
        return f"an option of Airflow's{f'; did you mean {close[0]}?' if close else ''}"
    if isinstance(value, SecretStr) and not _known().get(name, False):
        return (
            "a value without --secret: Airflow reads this option from the environment alone, which"
            " is readable in the service's definition"
        )
    return ""


_OPEN_SECTIONS = frozenset(
    {"celery_broker_transport_options", "celery_result_backend_transport_options"}
)
"""Sections whose options are another program's."""


@cache
def _known() -> dict[str, bool]:
    """Return the known options, and whether Airflow reads each from a command's output too."""
    lines = OPTIONS_FILE.read_text().splitlines()
    return {line.removesuffix(" *"): line.endswith(" *") for line in lines}
