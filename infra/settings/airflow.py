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
from infra.settings.airflow_values import instead_of
from infra.settings.problem import HIDDEN, Problem, invalid, unknown, unused
from infra.stack.yaml_values import as_object, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KEY = "airflowConfig"
OPTIONS_FILE = ROOT / "infra/settings/airflow_options.txt"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_HIDDEN_NAME = re.compile(r"password|secret|token|key|conn|dsn|kwargs|args")

_FOLLOWS = "It is derived from the cluster."
_PREFORK = (
    "Workers fork a fixed number of processes, which a deployment can wait for and whose slots the"
    " scheduler counts."
)
_LOGIN_LIMIT = "The limit on refused logins depends on it."
_NO_TLS = "The reverse proxy web reaches the API server without TLS, in the stack's network."
OWNED = {
    "api.base_url": _FOLLOWS,
    "api.host": "Only web and the services of the stack's network reach the API server.",
    "api.port": "Set webPort instead.",
    "api.secret_key": "It is generated. rotateSecrets.api_secret_key generates a new one.",
    "api.ssl_cert": _NO_TLS,
    "api.ssl_key": _NO_TLS,
    "api_auth.jwt_issuer": _FOLLOWS,
    "api_auth.jwt_secret": "It is generated. rotateSecrets.jwt_secret generates a new one.",
    "celery.broker_url": _FOLLOWS,
    "celery.celery_config_options": (
        "It would replace all of Celery's configuration. Set celery.extra_celery_config, which adds"
        " to it."
    ),
    "celery.flower_basic_auth": (
        "It is generated. rotateSecrets.flower_password generates a new one."
    ),
    "celery.flower_port": "Set flowerPort instead.",
    "celery.pool": _PREFORK,
    "celery.result_backend": _FOLLOWS,
    "celery.worker_autoscale": (
        "Parallelism is the number of slots, which would vary. Set workerConcurrency instead."
    ),
    "celery.worker_concurrency": "Set workerConcurrency instead.",
    "celery_broker_transport_options.visibility_timeout": _FOLLOWS,
    "core.auth_manager": _FOLLOWS,
    "core.dags_folder": "The DAGs are in the image.",
    "core.execution_api_server_url": _FOLLOWS,
    "core.executor": "The swarm's tasks run with the CeleryExecutor.",
    "core.fernet_key": "Set fernetKey instead, with --secret.",
    "core.hostname_callable": _FOLLOWS,
    "core.parallelism": (
        "It is derived from the number of slots. Set workers, workersPerNode or workerConcurrency"
        " instead."
    ),
    "core.plugins_folder": _LOGIN_LIMIT,
    "core.unit_test_mode": "Airflow would use the configuration of its own tests.",
    "database.sql_alchemy_conn": _FOLLOWS,
    "database.sql_alchemy_conn_async": _FOLLOWS,
    "execution_api.jwt_expiration_time": (
        "A running task's token has to outlive an absence of the API server."
    ),
    "fab.enable_proxy_fix": _LOGIN_LIMIT,
    "logging.base_log_folder": _FOLLOWS,
    "logging.dag_processor_log_target": "Its log is the container's, which is limited.",
    "logging.secret_mask_adapter": "Logs would show secrets that are encoded.",
    "logging.trigger_log_server_port": _FOLLOWS,
    "logging.worker_log_server_port": _FOLLOWS,
    "scheduler.enable_health_check": _FOLLOWS,
    "scheduler.num_runs": "A scheduler that ends by itself counts as one that fails.",
    "scheduler.scheduler_health_check_server_port": _FOLLOWS,
    "scheduler.task_queued_timeout": (
        "A task that waits for a slot for longer than this would fail."
    ),
}
"""Options that the project sets itself, with the reason or what to set instead."""


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
            yield invalid(f"{KEY}.{section}", given, f"an object: set {KEY}.SECTION.OPTION")
            continue
        for option, value in as_object(options).items():
            yield from _option_problems(section, option, value)


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


def _option_problems(section: str, option: str, value: object) -> Iterator[Problem]:
    """Report the first problem of an option, if it has one."""
    name, path = f"{section}.{option}", f"{KEY}.{section}.{option}"
    is_known_section = any(known.startswith(f"{section}.") for known in _known())
    if not (_NAME.fullmatch(section) and _NAME.fullmatch(option)):
        yield Problem(
            path=path,
            message="the name is not valid",
            valid="section and option in lower case, as in Airflow's configuration reference",
            on_key=True,
        )
    elif name in OWNED:
        yield unused(path, OWNED[name])
    elif is_known_section and name not in _known() and section not in _OPEN_SECTIONS:
        close = difflib.get_close_matches(name, _known(), n=1)
        yield unknown(path, "option of Airflow", suggestion=close[0] if close else "")
    else:
        yield from _value_problems(name, value, is_known_section=is_known_section)


def _value_problems(name: str, value: object, *, is_known_section: bool) -> Iterator[Problem]:
    """Report a value that Airflow cannot read."""
    path, known = f"{KEY}.{name}", _known().get(name)
    hidden = isinstance(value, SecretStr) or _HIDDEN_NAME.search(name.partition(".")[2])
    given = HIDDEN if hidden else value
    if value is None:
        hint = f"`pulumi config rm --path {path}` removes the option."
        yield Problem(path=path, message="must have a value", hint=hint)
    elif isinstance(value, dict | list):
        yield invalid(path, given, "one text; write JSON as a text")
    elif isinstance(value, SecretStr) and is_known_section and not (known and known.is_sensitive):
        yield invalid(
            path,
            given,
            "a value without --secret: Airflow reads this option only from the environment, which"
            " is readable in the service's definition",
        )
    else:
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        instead = instead_of(name, known.kind if known else "string", text)
        if instead:
            yield invalid(path, given, instead.valid, suggestion=instead.suggestion)


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
