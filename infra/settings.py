"""The stack's settings: the only reader of ``pulumi.Config``.

Every setting, with its default and description, is declared in ``Pulumi.yaml``; all checks are
here, those of the types included, so that all mistakes are reported together, before any resource
exists.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_origin

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from infra import build_context, registry
from infra.machines import aws_settings, existing_settings
from infra.machines.aws_settings import AwsSettings
from infra.machines.existing_settings import ExistingSettings, Host, Jump
from infra.project import ROOT
from infra.remote.pace import CONNECTIONS_PER_SECOND
from infra.secret_values import leaves, secret_texts
from infra.setting_types import Integer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

MAX_PORT = 65_535
MAX_NODES_LOCAL = 50
"""More node containers than this do not fit the address plan of one bridge (see ``local.py``)."""

RESERVED_PORTS = {22: "SSH's", 2377: "swarm's", 5000: "the registry's", 7946: "swarm's"}
"""TCP ports that a manager listens on already."""

OTHER_IMAGES = ("postgres", "redis")
"""The images besides Airflow's, by their names in the registry."""

Problem = tuple[str, object, str]
"""Key, value given, what is valid."""

_ADVICE = "Nothing was created or changed. Fix them, for example:"
_UNKNOWN = "no such setting"
_UNUSED = "nothing: "
_VALID = {
    "dict_type": "an object, set with --path '{key}.NAME' for each of its entries",
    "missing": "has to be set",
    "model_type": "an object, set with --path '{key}.address' for its address, and so on",
    "string_pattern_mismatch": "lower-case letters and digits, with single . _ or - between them",
    "string_type": "one text, no list or object",
    "tuple_type": "a list, set with --path '{key}[0]' for its first entry, and so on",
}
"""What is valid instead, by pydantic's name of the mistake."""


class SettingsError(Exception):
    """One or more settings are invalid; the text names every one, its value and what is valid."""


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


def _airflows_own(value: str) -> str:
    if value in OTHER_IMAGES:
        msg = f"another name: the cluster has an image of its own called {value}"
        raise ValueError(msg)
    return value


Port = Annotated[Integer, Field(ge=1, le=MAX_PORT)]


class Settings(ExistingSettings, AwsSettings):
    """What the user asked for. Field aliases are the keys of ``Pulumi.yaml``.

    Each target has a class of its own keys, which this one inherits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    target: Literal["local", "existing", "aws"] = "local"
    managers: Annotated[Integer, Field(ge=1, le=7), AfterValidator(_odd)] = 1
    workers: Annotated[Integer, Field(ge=1, le=MAX_NODES_LOCAL)] = 2
    workers_per_node: Annotated[Integer, Field(ge=1, le=16, alias="workersPerNode")] = 1
    worker_concurrency: Annotated[Integer, Field(ge=1, le=256, alias="workerConcurrency")] = 4
    task_grace_seconds: Annotated[Integer, Field(ge=10, le=604_800, alias="taskGrace")] = 3_600
    registry: Literal["embedded", "ecr"] = "embedded"
    image_name: Annotated[
        str,
        Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=100, alias="imageName"),
        AfterValidator(_airflows_own),
    ] = "airflow"
    web_port: Annotated[Port, Field(alias="webPort")] = 8080
    flower_port: Annotated[Port, Field(alias="flowerPort")] = 5555
    connections_per_second: Annotated[
        Integer, Field(ge=1, le=1_000, alias="connectionsPerSecond")
    ] = CONNECTIONS_PER_SECOND
    allowed_cidrs: Annotated[
        tuple[Annotated[str, AfterValidator(_cidr)], ...], Field(alias="allowedCidrs")
    ] = ()

    @property
    def registry_port(self) -> int | None:
        """TCP port of the registry on the first manager; None where there is none."""
        return registry.PORT if self.registry == "embedded" else None

    @property
    def images(self) -> Mapping[str, str]:
        """Each image's kind and its name in the registry."""
        return {"airflow": self.image_name, **{name: name for name in OTHER_IMAGES}}


def parse(raw: dict[str, Any], secrets: Callable[[], Collection[str]] = frozenset[str]) -> Settings:
    """Check ``raw`` (key in ``Pulumi.yaml`` → value) and return the settings.

    ``secrets`` returns the texts that no report may show.

    Raises:
        SettingsError: with every mistake at once.

    """
    problems = [*_port_conflicts(raw), *_target_conflicts(raw)]
    try:
        settings = Settings.model_validate(raw, by_alias=True, by_name=False)
    except ValidationError as error:
        problems = [*_field_problems(error), *problems]
    else:
        if not problems:
            return _counted(settings)
    hidden = secrets()
    lines = [
        f"  {key}: {_shown(key, given, hidden)} given; valid: {valid}"
        for key, given, valid in problems
    ]
    raise SettingsError(
        "\n".join(["These settings are not valid:", *lines, _ADVICE, _example(problems[0])])
    )


def load() -> Settings:
    """Read the current stack's settings.

    Raises:
        pulumi.RunError: with every mistake at once; Pulumi shows it without a traceback.

    """
    import pulumi  # noqa: PLC0415 - so that the checks are testable without it
    from pulumi import runtime  # noqa: PLC0415

    prefix = pulumi.Config().full_key("")
    given = (name for name in runtime.get_config_env() if name.startswith(prefix))
    names = {key: f"{prefix}{key}" for key in keys()}
    names |= {name.removeprefix(prefix): name for name in given}
    if runtime.get_config(names["target"]) == "aws":
        for key, name in (("awsRegion", "aws:region"), ("awsProfile", "aws:profile")):
            if not runtime.get_config(names[key]):
                names[key] = name
    texts = {key: runtime.get_config(name) for key, name in names.items()}
    raw = {key: _decode(text) for key, text in texts.items() if text is not None}

    def secrets() -> Collection[str]:
        holders = {name: raw[key] for key, name in names.items() if key in raw}
        return secret_texts(
            {name: value for name, value in holders.items() if runtime.is_config_secret(name)},
            ROOT / f"Pulumi.{pulumi.get_stack()}.yaml",
        )

    try:
        build_context.refuse_passwords(os.environ)
        return parse(raw, secrets)
    except (SettingsError, build_context.BuildArgumentError) as error:
        raise pulumi.RunError(str(error)) from None


def keys() -> Iterable[str]:
    """Return the settings' keys as ``Pulumi.yaml`` spells them."""
    return [field.alias or name for name, field in Settings.model_fields.items()]


def _decode(text: str) -> object:
    """Pulumi hands lists and objects over as JSON text."""
    if not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _lists() -> set[str]:
    """Return the keys of settings that are lists."""
    return {
        field.alias or name
        for name, field in Settings.model_fields.items()
        if get_origin(field.annotation) is tuple
    }


def _example(problem: Problem) -> str:
    key, _, valid = problem
    if valid.startswith((_UNKNOWN, _UNUSED)):
        return f"  pulumi config rm --path '{key}'" if "[" in key else f"  pulumi config rm {key}"
    if key in _lists():
        key += "[0].name" if key == "hosts" else "[0]"
    if "[" in key:
        secret = "--secret " if key.endswith(".password") else ""
        return f"  pulumi config set {secret}--path '{key}' VALUE"
    return f"  pulumi config set {key} VALUE"


def _shown(key: str, given: object, secrets: Collection[str]) -> str:
    """Show what was given, unless it is or may hold a secret, as a list of hosts may."""
    if given is None:
        return "nothing"
    text = repr(given)
    within = re.split(r"[.[]", key)[0]
    whole = type(given) in (dict, list) or text.startswith(("'[", "'{"))
    if (
        isinstance(given, _Hidden)
        or (whole and (within == "hosts" or within not in keys()))
        or "PRIVATE KEY" in text
        or any(leaf in secrets for leaf in leaves(given))
    ):
        return "a value that is not shown"
    return text


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
        (key, raw[key], f"{_UNUSED}it belongs to target {target}")
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
                (key, raw[key], f"{_UNUSED}with target existing, the hosts' roles are counted")
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
        port = int(given) if re.fullmatch(r"[0-9]{1,9}", str(given)) else None
        if port in taken:
            problems.append((key, given, f"another port: this one is {taken[port]}"))
        elif port is not None:
            taken[port] = f"{key}'s"
    return problems


def _valid(problem: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails, by type
    context = problem.get("ctx", {})
    match problem["type"]:
        case "greater_than_equal":
            return f"{context['ge']} or more"
        case "less_than_equal":
            return f"{context['le']} or less"
        case "literal_error":
            return str(context["expected"])
        case "extra_forbidden":
            return f"{_UNKNOWN}{_similar(problem['loc'])}"
        case kind if kind in _VALID:
            return _VALID[kind].format(key=_path(problem["loc"]))
        case _:
            return problem["msg"].removeprefix("Value error, ")


def _similar(location: tuple[int | str, ...]) -> str:
    """Propose a key that is written much like the one that was given."""
    *parents, given = location
    known = set(keys())
    if parents:
        model = Jump if "jump" in parents else Host
        known = {field.alias or name for name, field in model.model_fields.items()}
    spelled = {key.lower(): key for key in known}
    found = difflib.get_close_matches(str(given).lower(), spelled, n=1)
    return f"; did you mean {spelled[found[0]]}?" if found else ""
