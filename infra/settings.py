"""The stack's settings: the only reader of ``pulumi.Config``.

Every setting, with its type, default and description, is declared in ``Pulumi.yaml``; the checks
that a type cannot express are here. All mistakes are collected and reported together, before any
resource exists.
"""

from __future__ import annotations

import json
import os
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_origin

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from infra import build_context
from infra.machines import aws_settings, existing_settings
from infra.machines.aws_settings import AwsSettings
from infra.machines.existing_settings import ExistingSettings
from infra.remote.pace import CONNECTIONS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

MAX_PORT = 65_535
MAX_NODES_LOCAL = 50
"""More node containers than this do not fit the address plan of one bridge (see ``local.py``)."""

RESERVED_PORTS = {22: "SSH's", 2377: "swarm's", 5000: "the registry's", 7946: "swarm's"}
"""TCP ports that a manager listens on already."""

PLANNED = {
    ("registry", "ecr"): " (ecr is planned, and not in this version)",
}

Problem = tuple[str, object, str]
"""Key, value given, what is valid."""

_ADVICE = "Nothing was created or changed. Fix them, for example:"


class SettingsError(Exception):
    """One or more settings are invalid; the text names every one, its value and what is valid."""


def _odd(value: int) -> int:
    if value % 2 == 0:
        msg = (
            f"an odd number (1, 3, 5 or 7): {value} managers tolerate no more failures than "
            f"{value - 1}, because the swarm needs a majority"
        )
        raise ValueError(msg)
    return value


def _cidr(value: str) -> str:
    try:
        return str(IPv4Network(value))
    except ValueError:
        msg = "an IPv4 network such as 192.0.2.0/24, or 192.0.2.7/32 for one address"
        raise ValueError(msg) from None


Port = Annotated[int, Field(ge=1, le=MAX_PORT)]


class Settings(ExistingSettings, AwsSettings):
    """What the user asked for. Field aliases are the keys of ``Pulumi.yaml``.

    Each target has a class of its own keys, which this one inherits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    target: Literal["local", "existing", "aws"] = "local"
    managers: Annotated[int, Field(ge=1, le=7), AfterValidator(_odd)] = 1
    workers: Annotated[int, Field(ge=1, le=MAX_NODES_LOCAL)] = 2
    workers_per_node: Annotated[int, Field(ge=1, le=16, alias="workersPerNode")] = 1
    worker_concurrency: Annotated[int, Field(ge=1, le=256, alias="workerConcurrency")] = 4
    task_grace_seconds: Annotated[int, Field(ge=10, le=604_800, alias="taskGrace")] = 3_600
    registry: Literal["embedded"] = "embedded"
    image_name: Annotated[
        str, Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=100, alias="imageName")
    ] = "airflow"
    web_port: Annotated[Port, Field(alias="webPort")] = 8080
    flower_port: Annotated[Port, Field(alias="flowerPort")] = 5555
    connections_per_second: Annotated[int, Field(ge=1, le=1_000, alias="connectionsPerSecond")] = (
        CONNECTIONS_PER_SECOND
    )
    allowed_cidrs: Annotated[
        tuple[Annotated[str, AfterValidator(_cidr)], ...], Field(alias="allowedCidrs")
    ] = ()


def parse(raw: dict[str, Any]) -> Settings:
    """Check ``raw`` (key in ``Pulumi.yaml`` → value) and return the settings.

    Raises:
        SettingsError: with every mistake at once.

    """
    problems = [*_port_conflicts(raw), *_target_conflicts(raw)]
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        problems = [*_field_problems(error), *problems]
    else:
        if not problems:
            return _counted(settings)
    lines = [f"  {key}: {_shown(given)} given; valid: {valid}" for key, given, valid in problems]
    raise SettingsError(
        "\n".join(["These settings are not valid:", *lines, _ADVICE, _example(problems[0][0])])
    )


def load() -> Settings:
    """Read the current stack's settings.

    Raises:
        pulumi.RunError: with every mistake at once; Pulumi shows it without a traceback.

    """
    import pulumi  # noqa: PLC0415 - so that the checks are testable without it

    config = pulumi.Config()
    raw = {key: config.get(key) for key in keys()}
    if raw["target"] == "aws":
        for key, name in (("awsRegion", "region"), ("awsProfile", "profile")):
            raw[key] = raw[key] or pulumi.Config("aws").get(name)
    try:
        build_context.refuse_passwords(os.environ)
        return parse({key: _decode(key, value) for key, value in raw.items() if value is not None})
    except (SettingsError, build_context.BuildArgumentError) as error:
        raise pulumi.RunError(str(error)) from None


def keys() -> Iterable[str]:
    """Return the settings' keys as ``Pulumi.yaml`` spells them."""
    return [field.alias or name for name, field in Settings.model_fields.items()]


def _decode(key: str, value: str) -> object:
    """Pulumi hands lists over as JSON text."""
    if key not in _lists():
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _lists() -> set[str]:
    """Return the keys of settings that are lists."""
    return {
        field.alias or name
        for name, field in Settings.model_fields.items()
        if get_origin(field.annotation) is tuple
    }


def _example(key: str) -> str:
    if "[" in key:
        secret = "--secret " if key.endswith(".password") else ""
        return f"  pulumi config set {secret}--path '{key}' VALUE"
    return f"  pulumi config set {key} VALUE"


def _shown(given: object) -> str:
    """Show what was given, unless it may hold a secret."""
    if given is None:
        return "nothing"
    return "a value that is not shown" if isinstance(given, dict | list | _Hidden) else repr(given)


class _Hidden:
    """Stands for a secret."""


def _field_problems(error: ValidationError) -> list[Problem]:
    return [(_path(problem["loc"]), _given(problem), _valid(problem)) for problem in error.errors()]


def _path(location: tuple[int | str, ...]) -> str:
    """Write a place as ``pulumi config set --path`` takes it: ``hosts[2].role``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")


def _given(problem: Any) -> object:  # noqa: ANN401 - pydantic's ErrorDetails, by type
    """Return the value; a key in a list of objects that is unknown may be a misspelt password."""
    misspelt = problem["type"] == "extra_forbidden" and len(problem["loc"]) > 1
    if misspelt or problem["loc"][-1] == "password":
        return _Hidden()
    return None if problem["type"] == "missing" else problem["input"]


def _counted(settings: Settings) -> Settings:
    """Count the nodes of a target that is given as a list."""
    if settings.target != "existing":
        return settings
    roles = [host.role for host in settings.hosts]
    counts = {"managers": roles.count("manager"), "workers": roles.count("worker")}
    return settings.model_copy(update=counts)


def _target_conflicts(raw: dict[str, Any]) -> list[Problem]:
    """Find settings that the target has no use for, and what is wrong among those it has."""
    defaults = {field.alias or name: field.default for name, field in _fields().items()}
    changed = {key for key, value in raw.items() if _text(value) != _text(defaults.get(key))}
    problems = [
        (key, raw[key], f"nothing: it belongs to target {target}")
        for target, settings in _TARGETS.items()
        if raw.get("target") != target
        for key in (field.alias or name for name, field in settings.model_fields.items())
        if key in changed
    ]
    match raw.get("target"):
        case "existing":
            problems += [
                (key, raw[key], "nothing: with target existing, the hosts' roles are counted")
                for key in ("managers", "workers")
                if key in changed
            ]
            problems += existing_settings.conflicts(raw)
        case "aws":
            problems += aws_settings.conflicts(raw)
        case _:
            pass
    return problems


_TARGETS: dict[str, type[BaseModel]] = {"existing": ExistingSettings, "aws": AwsSettings}


def _fields() -> dict[str, FieldInfo]:
    return Settings.model_fields


def _text(value: object) -> str:
    """Write a value in one way, whether Pulumi or Python wrote it."""
    return str(value).lower() if isinstance(value, bool) else str(value or [])


def _port_conflicts(raw: dict[str, Any]) -> list[Problem]:
    """Find ports that a manager has given away already."""
    taken = dict(RESERVED_PORTS)
    problems: list[Problem] = []
    for field in ("web_port", "flower_port"):
        info = Settings.model_fields[field]
        key = info.alias or field
        given = raw.get(key, info.default)
        port = int(given) if str(given).isdecimal() else None
        if port in taken:
            problems.append((key, given, f"another port: this one is {taken[port]}"))
        elif port is not None:
            taken[port] = f"{key}'s"
    return problems


def _valid(problem: Any) -> str:  # noqa: ANN401, PLR0911 - pydantic's ErrorDetails, by type
    context = problem.get("ctx", {})
    match problem["type"]:
        case "int_parsing" | "int_type" | "int_from_float":
            return "a whole number"
        case "greater_than_equal":
            return f"{context['ge']} or more"
        case "less_than_equal":
            return f"{context['le']} or less"
        case "literal_error":
            planned = PLANNED.get((problem["loc"][0], problem["input"]), "")
            return f"{context['expected']}{planned}"
        case "string_pattern_mismatch":
            return "lower-case letters and digits, with single . _ or - between them"
        case "tuple_type":
            return "a list, set with --path: NAME[0] for its first entry, and so on"
        case "bool_parsing" | "bool_type":
            return "true or false"
        case "missing":
            return "has to be set"
        case "extra_forbidden":
            return "no such setting"
        case _:
            return problem["msg"].removeprefix("Value error, ")
