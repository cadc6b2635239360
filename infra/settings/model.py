"""The model of the settings that all targets share.

Every setting, with its default and description, is declared in ``Pulumi.yaml``. A target's own
settings are a subclass, in the target's package. `infra.settings.loading` reads a stack's settings.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

from infra import ports
from infra.images import registry
from infra.remote.rate_limit import CONNECTIONS_PER_SECOND
from infra.settings.backup import BackupSettings
from infra.settings.mail import MailSettings
from infra.settings.memory import memory_limits
from infra.settings.types import Integer, OverlayNetwork, Port
from infra.stack.backups import BACKUP_PASSPHRASE
from infra.stack.secrets import FERNET_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_WORKER_NODES = 500
"""The largest swarm for which the set-up was measured (`docs/scale.md`)."""

OTHER_IMAGES = ("postgres", "redis", "web")
"""The images besides Airflow's, by their names in the registry."""


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


class Settings(BackupSettings, MailSettings):
    """The user's settings. Field aliases are the keys of ``Pulumi.yaml``."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        defer_build=True,  # a run uses the model of one target
    )

    target: str = "local"
    managers: Annotated[Integer, Field(ge=1, le=7), AfterValidator(_odd)] = 1
    workers: Annotated[Integer, Field(ge=1, le=MAX_WORKER_NODES)] = 2
    workers_per_node: Annotated[Integer, Field(ge=1, le=16, alias="workersPerNode")] = 1
    worker_concurrency: Annotated[Integer, Field(ge=1, le=256, alias="workerConcurrency")] = 4
    task_grace_seconds: Annotated[Integer, Field(ge=10, le=604_800, alias="taskGrace")] = 3_600
    registry: str = registry.EMBEDDED
    image_name: Annotated[
        str,
        Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=100, alias="imageName"),
        AfterValidator(_airflow_image_name),
    ] = "airflow"
    overlay_network: Annotated[OverlayNetwork, Field(alias="overlayNetwork")] = ""
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
        return registry.PORT if self.registry == registry.EMBEDDED else None

    @property
    def images(self) -> Mapping[str, str]:
        """Each image's kind and its name in the registry."""
        return {"airflow": self.image_name, **{name: name for name in OTHER_IMAGES}}
