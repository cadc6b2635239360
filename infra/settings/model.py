"""The stack's settings: the only reader of ``pulumi.Config``.

Every setting, with its default and description, is declared in ``Pulumi.yaml``; all checks are
here, including those of types, so that all problems are reported together, before any resource
exists.
"""

from __future__ import annotations

import json
import os
import re
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from infra import ports
from infra.errors import UserError
from infra.images import build_context, registry
from infra.machines.aws import settings as aws_settings
from infra.machines.aws.settings import AwsSettings
from infra.machines.existing import settings as existing_settings
from infra.machines.existing.settings import ExistingSettings
from infra.program_errors import shown_to_users
from infra.project import ROOT
from infra.remote.rate_limit import CONNECTIONS_PER_SECOND
from infra.settings import capacity
from infra.settings.airflow import airflow_problems
from infra.settings.backup import BackupSettings, backup_problems
from infra.settings.memory import memory_limits, memory_problems
from infra.settings.report import UNUSED, keys, problems_of, report
from infra.settings.secret_values import secret_texts, with_secrets
from infra.settings.secrets import secret_problems
from infra.settings.types import Integer, Port
from infra.stack.backups import BACKUP_PASSPHRASE
from infra.stack.ports import RESERVED_PORTS
from infra.stack.secrets import FERNET_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from infra.settings.types import Problem

MAX_WORKER_NODES = 500
"""The largest swarm for which the set-up was measured (`docs/scale.md`)."""

OTHER_IMAGES = ("postgres", "redis", "web")
"""The images besides Airflow's, by their names in the registry."""


class SettingsError(UserError):
    """One or more settings are invalid; the text lists each, its value and what is valid."""


def _odd(value: int) -> int:
    if value % 2 == 0:
        msg = (
            "an odd number (1, 3, 5 or 7): one more than that tolerates no more failures, because"
            " the swarm needs a majority"
        )
        raise ValueError(msg)
    return value


def _cidr(value: str) -> str:
    try:
        return str(IPv4Network(value))
    except ValueError:
        msg = "an IPv4 network such as 192.0.2.0/24, or 192.0.2.7/32 for one address"
        raise ValueError(msg) from None


def _airflow_image_name(value: str) -> str:
    if value in OTHER_IMAGES:
        msg = f"another name: the cluster's own image has the name {value}"
        raise ValueError(msg)
    return value


class Settings(ExistingSettings, AwsSettings, BackupSettings):
    """The user's settings. Field aliases are the keys of ``Pulumi.yaml``.

    Each target has a class with its keys, which this one inherits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    target: Literal["local", "existing", "aws"] = "local"
    managers: Annotated[Integer, Field(ge=1, le=7), AfterValidator(_odd)] = 1
    workers: Annotated[Integer, Field(ge=1, le=MAX_WORKER_NODES)] = 2
    workers_per_node: Annotated[Integer, Field(ge=1, le=16, alias="workersPerNode")] = 1
    worker_concurrency: Annotated[Integer, Field(ge=1, le=256, alias="workerConcurrency")] = 4
    task_grace_seconds: Annotated[Integer, Field(ge=10, le=604_800, alias="taskGrace")] = 3_600
    registry: Literal["embedded", "ecr"] = "embedded"
    image_name: Annotated[
        str,
        Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=100, alias="imageName"),
        AfterValidator(_airflow_image_name),
    ] = "airflow"
    overlay_network: Annotated[
        str, AfterValidator(capacity.overlay_network), Field(alias="overlayNetwork")
    ] = ""
    web_port: Annotated[Port, Field(alias="webPort")] = ports.WEB
    flower_port: Annotated[Port, Field(alias="flowerPort")] = ports.FLOWER
    connections_per_second: Annotated[
        Integer, Field(ge=1, le=1_000, alias="connectionsPerSecond")
    ] = CONNECTIONS_PER_SECOND
    allowed_cidrs: Annotated[
        tuple[Annotated[str, AfterValidator(_cidr)], ...], Field(alias="allowedCidrs")
    ] = ()

    airflow_config: Annotated[dict[str, Any], Field(alias="airflowConfig", repr=False)] = {}  # noqa: RUF012 - pydantic copies it
    task_memory: Annotated[str, Field(alias="taskMemory")] = "512m"
    memory_limits: Annotated[dict[str, Any], Field(alias="memoryLimits")] = {}  # noqa: RUF012 - pydantic copies it
    log_retention_days: Annotated[Integer, Field(ge=1, le=3_650, alias="logRetentionDays")] = 30
    keep_releases: Annotated[Integer, Field(ge=1, le=100, alias="keepReleases")] = 3
    rotate_secrets: Annotated[dict[str, Any], Field(alias="rotateSecrets")] = {}  # noqa: RUF012 - pydantic copies it
    fernet_key: Annotated[str, Field(alias="fernetKey", repr=False)] = ""

    @property
    def rotations(self) -> Mapping[str, int]:
        """The user's number of rotations of each secret."""
        return {name: int(number) for name, number in self.rotate_secrets.items()}

    @property
    def limits(self) -> Mapping[str, str]:
        """The memory limits of services, including workers."""
        return memory_limits(self.task_memory, self.worker_concurrency, self.memory_limits)

    @property
    def given_secrets(self) -> Mapping[str, str]:
        """The secrets that the user chose."""
        given = {FERNET_KEY: self.fernet_key, BACKUP_PASSPHRASE: self.backup_passphrase}
        return {name: value for name, value in given.items() if value}

    @property
    def registry_port(self) -> int | None:
        """TCP port of the registry on the first manager; None if there is none."""
        return registry.PORT if self.registry == "embedded" else None

    @property
    def images(self) -> Mapping[str, str]:
        """Each image's kind and its name in the registry."""
        return {"airflow": self.image_name, **{name: name for name in OTHER_IMAGES}}


def parse(raw: dict[str, Any], secrets: Callable[[], Collection[str]] = frozenset[str]) -> Settings:
    """Check ``raw`` (key in ``Pulumi.yaml`` → value) and return the settings.

    ``secrets`` returns the texts that no report may show.

    Raises:
        SettingsError: lists every problem.

    """
    defaults = {field.alias or name: field.default for name, field in _fields().items()}
    problems = [
        *_port_conflicts(raw),
        *_target_conflicts(raw),
        *capacity.conflicts(raw, defaults),
        *secret_problems(raw),
        *memory_problems(raw),
        *airflow_problems(raw),
        *backup_problems(raw),
    ]
    try:
        settings = Settings.model_validate(raw, by_alias=True, by_name=False)
    except ValidationError as error:
        problems = [*problems_of(error, Settings), *problems]
    else:
        if not problems:
            return _counted(settings)
    raise SettingsError(report(problems, Settings, secrets()))


def load() -> Settings:
    """Read the current stack's settings.

    Raises:
        pulumi.RunError: lists every problem; Pulumi shows it without a traceback.

    """
    import pulumi  # noqa: PLC0415 - so that the checks are testable without it
    from pulumi import runtime  # noqa: PLC0415

    prefix = pulumi.Config().full_key("")
    given = (name for name in runtime.get_config_env() if name.startswith(prefix))
    names = {key: f"{prefix}{key}" for key in keys(Settings)}
    names |= {name.removeprefix(prefix): name for name in given}
    if runtime.get_config(names["target"]) == "aws":
        for key, name in (("awsRegion", "aws:region"), ("awsProfile", "aws:profile")):
            if not runtime.get_config(names[key]):
                names[key] = name
    texts = {key: runtime.get_config(name) for key, name in names.items()}
    raw = {key: _decode(text) for key, text in texts.items() if text is not None}

    marked = raw
    if "airflowConfig" in raw and runtime.is_config_secret(names["airflowConfig"]):
        file = ROOT / f"Pulumi.{pulumi.get_stack()}.yaml"
        config = with_secrets(raw["airflowConfig"], names["airflowConfig"], file)
        marked = {**raw, "airflowConfig": config}

    def secrets() -> Collection[str]:
        holders = {name: raw[key] for key, name in names.items() if key in raw}
        return secret_texts(
            {name: value for name, value in holders.items() if runtime.is_config_secret(name)},
            ROOT / f"Pulumi.{pulumi.get_stack()}.yaml",
        )

    with shown_to_users():
        build_context.refuse_credentials(os.environ)
        build_context.refuse_credentials_in_files(ROOT / "images/airflow")
        return parse(marked, secrets)


def _decode(text: str) -> object:
    """Decode a setting: Pulumi passes lists and objects as JSON text."""
    if not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _counted(settings: Settings) -> Settings:
    """Return the settings with the number of nodes, for a target with a list of hosts."""
    if settings.target != "existing":
        return settings
    roles = [host.role for host in settings.hosts]
    counts = {"managers": roles.count("manager"), "workers": roles.count("worker")}
    return settings.model_copy(update=counts)


def _target_conflicts(raw: dict[str, Any]) -> list[Problem]:
    """Report settings that the target does not use, and conflicts between those that it uses."""
    defaults = {field.alias or name: field.default for name, field in _fields().items()}
    changed = {key for key, value in raw.items() if _text(value) != _text(defaults.get(key))}
    problems = [
        (key, raw[key], f"{UNUSED}it belongs to target {target}")
        for target, settings in _TARGETS.items()
        if raw.get("target") != target
        for key in (field.alias or name for name, field in settings.model_fields.items())
        if key in changed
    ]
    if raw.get("registry") == "ecr" and raw.get("target") != "aws":
        problems.append(("registry", "ecr", "'embedded': ecr belongs to target aws"))
    match raw.get("target"):
        case "existing":
            problems += [
                (key, raw[key], f"{UNUSED}with target existing, the hosts' roles are counted")
                for key in ("managers", "workers")
                if key in changed
            ]
            problems += existing_settings.conflicts(raw)
        case "aws":
            problems += aws_settings.conflicts(raw)
        case "local" | None if "allowedCidrs" in changed:
            problems.append(("allowedCidrs", raw["allowedCidrs"], f"{UNUSED}{_LOOPBACK_ONLY}"))
        case _:
            pass
    return problems


_LOOPBACK_ONLY = "with target local, the pages are published only on this machine's 127.0.0.1"
_TARGETS: dict[str, type[BaseModel]] = {"existing": ExistingSettings, "aws": AwsSettings}


def _fields() -> dict[str, FieldInfo]:
    return Settings.model_fields


def _text(value: object) -> str:
    """Normalise a value from Pulumi or Python as text."""
    return str(value).lower() if isinstance(value, bool) else str(value or [])


def _port_conflicts(raw: dict[str, Any]) -> list[Problem]:
    """Report ports that a manager already uses."""
    taken = dict(RESERVED_PORTS)
    problems: list[Problem] = []
    for field in ("web_port", "flower_port"):
        info = Settings.model_fields[field]
        key = info.alias or field
        given = raw.get(key, info.default)
        port = int(given) if re.fullmatch(r"[0-9]{1,9}", str(given)) else None
        if port in taken:
            problems.append((key, given, f"another port: this one is {taken[port]}"))
        elif port is not None:
            taken[port] = f"{key}'s"
    return problems
