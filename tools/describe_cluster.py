"""Describe the selected stack's cluster, or the laptop, for ``dag-builder check --cluster``.

Usage: python -m tools.describe_cluster stack|laptop FILE
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.stack.offers import offers
from tools.airflow_api import Airflow, AirflowApiError
from tools.image_packages import image_packages
from tools.prove import stack_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("docker", "compose", "config", "--format", "json")

_IN_AIRFLOW = {
    "pool": "create it in Airflow: Admin, Pools",
    "pool_slots": "lower pool_slots, or give the pool more slots in Airflow: Admin, Pools",
    "connection": "create it in Airflow: Admin, Connections",
    "variable": "create it in Airflow: Admin, Variables",
    "package": "add {name} to images/airflow/pip_requirements.txt and run `make lock`",
}
_SERVICE = "add a worker service with `command: [worker, --queues, {name}]` to docker-compose.yaml"
ON_STACK = {
    **_IN_AIRFLOW,
    "queue": f"{_SERVICE} (docs/compose.md), and run `pulumi up`",
    "task_time": "shorten execution_timeout, or run `pulumi config set taskGrace SECONDS` and "
    "`pulumi up`",
}
ON_LAPTOP = {
    **_IN_AIRFLOW,
    "queue": f"{_SERVICE} (docs/compose.md), and run `make dev`",
    "task_time": "shorten execution_timeout, or set DAIRFLOW_TASK_GRACE=SECONDS in .env and run "
    "`make dev`",
}


class NotDescribedError(Exception):
    """The cluster cannot be described; the text is the cause and the next step."""


def describe(
    airflow: Airflow, offered: Mapping[str, Any], next_steps: Mapping[str, str]
) -> dict[str, Any]:
    """Return the description: what the services offer, and what Airflow's API lists.

    Raises:
        AirflowApiError: if Airflow does not answer.

    """
    airflow.login()
    return {
        **offered,
        "pools": airflow.pools(),
        "connections": _with(offered["connections"], airflow.connections),
        "variables": _with(offered["variables"], airflow.variables),
        "packages": image_packages(),
        "next_steps": dict(next_steps),
    }


def _with(known: list[str] | None, listed: Callable[[], list[str]]) -> list[str] | None:
    """Return both, or None if what else there is cannot be listed."""
    return None if known is None else sorted({*known, *listed()})


def of_stack() -> dict[str, Any]:
    """Describe the selected stack's cluster.

    Raises:
        NotDescribedError: if it has no outputs of this release.
        AirflowApiError: if Airflow does not answer.

    """
    try:
        outputs = stack_outputs()
    except subprocess.CalledProcessError as error:
        message = f"The stack's outputs cannot be read: {error.stderr.strip()}"
        raise NotDescribedError(message) from error
    if "offers" not in outputs:
        message = (
            "The selected stack has no output `offers`. Next: run `pulumi up` (a new cluster: "
            "`make up`). Without a cluster, `make dev` and `make dev-check` check on the laptop."
        )
        raise NotDescribedError(message)
    return describe(Airflow.of_stack(outputs), outputs["offers"], ON_STACK)


def of_laptop() -> dict[str, Any]:
    """Describe the services that Docker Compose runs here.

    Raises:
        NotDescribedError: if the compose file or the password cannot be read.
        AirflowApiError: if Airflow does not answer.

    """
    printed = subprocess.run(SERVICES, check=False, capture_output=True, text=True, cwd=ROOT)
    if printed.returncode != 0:
        message = f"docker-compose.yaml cannot be read: {printed.stderr.strip()}"
        raise NotDescribedError(message)
    document = json.loads(printed.stdout)
    password = Path(document["secrets"]["admin_password"]["file"])
    if not password.exists():
        message = f"There is no {password}. Next: run `make dev`."
        raise NotDescribedError(message)
    port = document["services"]["web"]["ports"][0]["published"]
    airflow = Airflow(
        url=f"http://127.0.0.1:{port}", user="admin", password=password.read_text().strip()
    )
    return describe(airflow, offers(document["services"]), ON_LAPTOP)


WAYS: Mapping[str, Callable[[], dict[str, Any]]] = {"stack": of_stack, "laptop": of_laptop}


def main(arguments: Sequence[str]) -> int:
    """Write the description to a file; return the exit status."""
    if len(arguments) != 2 or arguments[0] not in WAYS:  # noqa: PLR2004 - where, and a file
        print("usage: python -m tools.describe_cluster stack|laptop FILE", file=sys.stderr)
        return 1
    way, file = arguments
    try:
        found = WAYS[way]()
    except (NotDescribedError, AirflowApiError) as error:
        print(error, file=sys.stderr)
        return 1
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(f"{json.dumps(found, indent=2)}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
