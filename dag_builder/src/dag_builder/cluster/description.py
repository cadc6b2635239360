"""The description of a cluster: a JSON file, which a deployment of Airflow writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

#: What a DAG may need of a cluster.
Kind = Literal["queue", "pool", "pool_slots", "connection", "variable", "package", "task_time"]

Seconds = Annotated[float, Field(gt=0)]
#: The number of slots of a pool without a limit, as Airflow writes it.
UNLIMITED = -1


class UnreadableClusterError(Exception):
    """A file that is not the description of a cluster; the text has every mistake in it."""


class Cluster(BaseModel):
    """What a cluster offers to DAGs. What is null or left out is not checked."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    queues: dict[str, Seconds | None] | None = Field(
        default=None,
        description="The queues that a worker serves, each with the seconds that its workers give "
        "a running task when they stop; null for any time.",
    )
    default_queue: str = Field(
        default="default",
        description="The queue of tasks that name none ([operators] default_queue of the cluster).",
    )
    pools: dict[str, Annotated[int, Field(ge=UNLIMITED)]] | None = Field(
        default=None, description="The pools, each with its slots; -1 for no limit."
    )
    connections: list[str] | None = Field(default=None, description="The IDs of connections.")
    variables: list[str] | None = Field(default=None, description="The keys of variables.")
    packages: list[str] | None = Field(
        default=None, description="The Python packages that are installed, by their names on PyPI."
    )
    next_steps: dict[Kind, str] = Field(
        default_factory=dict[Kind, str],
        description="What to do about each kind of finding. {name} is replaced by the name of "
        "what is missing.",
    )


def read_cluster(path: Path) -> Cluster:
    """Read the description of a cluster.

    Raises:
        UnreadableClusterError: with every mistake in the file.

    """
    try:
        return Cluster.model_validate_json(path.read_bytes())
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise UnreadableClusterError(message) from error
    except ValidationError as error:
        lines = [f"{path} is not the description of a cluster:"]
        for one in error.errors(include_url=False):
            place = ".".join(str(part) for part in one["loc"])
            lines.append(f"  {place}: {one['msg']}" if place else f"  {one['msg']}")
        lines.append("`dag-builder schema --cluster` prints its JSON Schema.")
        raise UnreadableClusterError("\n".join(lines)) from error


def cluster_schema() -> dict[str, object]:
    """Return the JSON Schema of the description."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Cluster.model_json_schema(),
    }
