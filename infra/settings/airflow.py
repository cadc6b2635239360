"""The setting ``airflowConfig``: options of Airflow, for all of its services on the swarm.

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
from infra.settings.airflow_guarantees import GUARANTEES
from infra.settings.airflow_values import invalid
from infra.settings.report import HIDDEN
from infra.stack.yaml_values import as_object, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.settings.types import Problem

KEY = "airflowConfig"
OPTIONS_FILE = ROOT / "infra/settings/airflow_options.txt"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_HIDDEN_NAME = re.compile(r"password|secret|token|key|conn|dsn|kwargs|args")

_FOLLOWS = "nothing: it is derived from the cluster"
_PREFORK = (
    "nothing: workers fork a fixed number of processes, which a deployment can wait for and whose"
    " slots the scheduler counts"
)
_LOGIN_LIMIT = "nothing: the limit on refused logins depends on it"
OWNED = {
    "api.base_url": _FOLLOWS,
    "api.host": "nothing: only web and the services of the stack's network reach the API server",
    "api.port": "nothing: set webPort",
    "api.secret_key": "nothing: it is generated; rotateSecrets.api_secret_key generates a new one",
    "api.ssl_cert": "nothing: web reaches the API server without TLS, in the stack's network",
    "api.ssl_key": "nothing: web reaches the API server without TLS, in the stack's network",
    "api_auth.jwt_issuer": _FOLLOWS,
    "api_auth.jwt_secret": "nothing: it is generated; rotateSecrets.jwt_secret generates a new one",
    "celery.broker_url": _FOLLOWS,
    "celery.celery_config_options": (
        "nothing: it would replace all of Celery's configuration; set celery.extra_celery_config,"
        " which adds to it"
    ),
    "celery.flower_basic_auth": "nothing: rotateSecrets.flower_password generates a new one",
    "celery.flower_port": "nothing: set flowerPort",
    "celery.pool": _PREFORK,
    "celery.result_backend": _FOLLOWS,
    "celery.worker_autoscale": (
        "nothing: parallelism is the number of slots, which would vary; set workerConcurrency"
    ),
    "celery.worker_concurrency": "nothing: set workerConcurrency",
    "celery_broker_transport_options.visibility_timeout": _FOLLOWS,
    "core.auth_manager": _FOLLOWS,
    "core.dags_folder": "nothing: the DAGs are in the image",
    "core.execution_api_server_url": _FOLLOWS,
    "core.executor": "nothing: the swarm's tasks run with the CeleryExecutor",
    "core.fernet_key": "nothing: set fernetKey, with --secret",
    "core.hostname_callable": _FOLLOWS,
    "core.parallelism": (
        "nothing: it is derived from the number of slots; set workers, workersPerNode or"
        " workerConcurrency"
    ),
    "core.plugins_folder": _LOGIN_LIMIT,
    "core.unit_test_mode": "nothing: Airflow would use the configuration of its own tests",
    "database.sql_alchemy_conn": _FOLLOWS,
    "database.sql_alchemy_conn_async": _FOLLOWS,
    "execution_api.jwt_expiration_time": (
        "nothing: a running task's token has to outlive an absence of the API server"
    ),
    "fab.enable_proxy_fix": _LOGIN_LIMIT,
    "logging.base_log_folder": _FOLLOWS,
    "logging.dag_processor_log_target": "nothing: its log is the container's, which is limited",
    "logging.secret_mask_adapter": "nothing: logs would show secrets that are encoded",
    "logging.trigger_log_server_port": _FOLLOWS,
    "logging.worker_log_server_port": _FOLLOWS,
    "scheduler.enable_health_check": _FOLLOWS,
    "scheduler.num_runs": "nothing: a scheduler that ends by itself counts as one that fails",
    "scheduler.scheduler_health_check_server_port": _FOLLOWS,
    "scheduler.task_queued_timeout": (
        "nothing: a task that waits for a slot for longer than this would fail"
    ),
}
"""Options that the project sets itself, and what to set instead."""


@dataclass(frozen=True, kw_only=True)
class AirflowConfig:
    """Configuration of the services: variables by name, and secrets by their variable's name."""

    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


def airflow_config(given: Mapping[str, Mapping[str, object]]) -> AirflowConfig:
    """Split valid options; a `SecretStr` is an option that the user marked as secret."""
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
    """Report options that Airflow lacks, that the project sets, or that cannot be secret."""
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
    """Return the sections that only a package of the user can define."""
    return sorted(set(given) - {option.partition(".")[0] for option in _known()})


def lost_guarantees(given: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Return a sentence for each option that a guarantee depends on: what it can end."""
    return [
        f"{KEY}.{section}.{option}: {GUARANTEES[name]}"
        for section, options in given.items()
        for option in options
        if (name := f"{section}.{option}") in GUARANTEES
    ]


def _valid(section: str, option: str, value: object) -> str:
    """Return what is valid instead of an option; empty if the option is valid."""
    name = f"{section}.{option}"
    if not (_NAME.fullmatch(section) and _NAME.fullmatch(option)):
        return "section and option in lower case, as in Airflow's configuration reference"
    if name in OWNED:
        return OWNED[name]
    if value is None:
        return f"a value; `pulumi config rm --path {KEY}.{name}` takes the option out"
    if isinstance(value, dict | list):
        return "one text; write JSON as a text"
    is_known_section = any(known.startswith(f"{section}.") for known in _known())
    if is_known_section and name not in _known() and section not in _OPEN_SECTIONS:
        close = difflib.get_close_matches(name, _known(), n=1)
        return f"an option of Airflow{f'; did you mean {close[0]}?' if close else ''}"
    return _valid_value(name, value, is_known_section=is_known_section)


def _valid_value(name: str, value: object, *, is_known_section: bool) -> str:
    """Return what is valid instead of a value; empty if Airflow can read it."""
    known = _known().get(name)
    if isinstance(value, SecretStr) and is_known_section and not (known and known.is_sensitive):
        return (
            "a value without --secret: Airflow reads this option only from the environment, which"
            " is readable in the service's definition"
        )
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return invalid(name, known.kind if known else "string", text)


_OPEN_SECTIONS = frozenset(
    {"celery_broker_transport_options", "celery_result_backend_transport_options"}
)
"""Sections with options of another program."""


@dataclass(frozen=True, kw_only=True)
class _Option:
    """What Airflow's own description says about an option."""

    kind: str
    is_sensitive: bool
    """Whether Airflow also reads it from a command's output."""


@cache
def _known() -> dict[str, _Option]:
    """Return the options of Airflow and of the image's providers, by ``SECTION.OPTION``."""
    options: dict[str, _Option] = {}
    for line in OPTIONS_FILE.read_text().splitlines():
        name, kind, *star = line.split(" ")
        options[name] = _Option(kind=kind, is_sensitive=bool(star))
    return options
