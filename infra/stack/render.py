"""Turn the compose file into the document of a swarm stack. Pure: no I/O, no clock, no chance.

What both the laptop and the swarm need is in ``docker-compose.yaml``. What only one of them can
use is added or taken away here: a swarm builds no image, orders no start, mounts no folder of the
user's, has no service address without IPVS, and cannot change a secret.
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.stack.errors import StackError
from infra.stack.interpolate import escape, interpolate
from infra.stack.secrets import hashed_name, require
from infra.stack.tasks import DIGEST_LABEL, ENDS_BY_ITSELF, TIME_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from infra.stack.options import StackOptions

Document = dict[str, Any]

FILE_FORMAT = "3.12"
"""The newest compose format of ``docker stack deploy``, of release 25; older ones refuse
``start_interval``."""

LAPTOP_KEYS = frozenset(
    {"build", "container_name", "depends_on", "profiles", "restart", "env_file"}
)
"""Keys of a service that only the laptop's compose knows what to do with."""

HEALTH_CHECK_INTERVAL = "30s"
HEALTH_CHECK_START_INTERVAL = "2s"
UPDATE_MONITOR = "1s"
DAG_PARSE_SECONDS = 60
"""The swarm's DAGs change with the image only, so that parsing them often buys nothing."""

_SECRET_FILE_MODE = 0o444


@dataclass(frozen=True, kw_only=True)
class RenderedStack:
    """A stack that is ready to be deployed.

    ``secrets`` maps each logical name to the swarm's name for its present value. ``web_port`` is
    where managers publish the web server; ``task_grace_seconds`` is how long a worker may take to
    finish its tasks.
    """

    name: str
    document: Document
    secrets: Mapping[str, str]
    web_port: int
    task_grace_seconds: float

    def to_bytes(self, at: datetime) -> bytes:
        """Return what ``docker stack deploy -c -`` reads (JSON is YAML).

        Every service is labelled with the document's digest, by which `observe` recognises it, and
        with the time, which makes each deployment another to the swarm: it ignores one that is
        equal to an update under way, also when that one has failed and only waits for a task to
        stop before it ends (swarmkit's ``update.Supervisor.Update``). Tasks do not see the labels.
        """
        labels = {DIGEST_LABEL: self.digest(), TIME_LABEL: at.isoformat()}
        labelled = copy.deepcopy(self.document)
        for service in labelled["services"].values():
            service["deploy"].setdefault("labels", {}).update(labels)
        return _encode(labelled)

    def digest(self) -> str:
        """Return a hash of everything that is deployed; equal means that nothing changes."""
        return _digest(self.document)


def render(compose: Mapping[str, Any], options: StackOptions) -> RenderedStack:
    """Render the compose file for the cluster that ``options`` describes.

    Raises:
        StackError: when the compose file or the options cannot be deployed, naming what and why.

    """
    require(options.secrets)
    source = interpolate(dict(compose), _variables(options))
    secrets = {name: hashed_name(options.name, name, options.secrets) for name in options.secrets}
    networks = source.get("networks") or ("default",)
    document: Document = {
        "version": FILE_FORMAT,
        "services": {
            name: _service(name, service, options) for name, service in source["services"].items()
        },
        "networks": {name: _network(options) for name in networks},
        "volumes": {name: {} for name in source.get("volumes", {})},
        "secrets": {
            name: {"external": True, "name": secrets[name]} for name in source.get("secrets", {})
        },
    }
    return RenderedStack(
        name=options.name,
        document=escape(document),
        secrets=secrets,
        web_port=options.web_port,
        task_grace_seconds=options.task_grace_seconds,
    )


def _encode(document: Document) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True).encode()


def _digest(document: Document) -> str:
    return hashlib.sha256(_encode(document)).hexdigest()


def _variables(options: StackOptions) -> dict[str, str]:
    return {
        "DAIRFLOW_AIRFLOW_IMAGE": _image(options, "airflow"),
        "DAIRFLOW_POSTGRES_IMAGE": _image(options, "postgres"),
        "DAIRFLOW_REDIS_IMAGE": _image(options, "redis"),
        "DAIRFLOW_WEB_IMAGE": _image(options, "web"),
        "DAIRFLOW_WEB_PORT": str(options.web_port),
        "DAIRFLOW_FLOWER_PORT": str(options.flower_port),
        "DAIRFLOW_BASE_URL": options.base_url,
        "DAIRFLOW_WORKER_CONCURRENCY": str(options.worker_concurrency),
        "DAIRFLOW_TASK_GRACE": str(options.task_grace_seconds),
        "DAIRFLOW_PARSE_SECONDS": str(DAG_PARSE_SECONDS),
        "DAIRFLOW_REFRESH_SECONDS": str(DAG_PARSE_SECONDS),
    }


def _image(options: StackOptions, kind: str) -> str:
    reference = options.images.get(kind, "")
    if "@sha256:" not in reference:
        msg = (
            f"the image for {kind} is {reference!r}: give it by digest, as NAME@sha256:…, since a"
            " deployment goes on when a tag does not resolve (docker/cli#787)"
        )
        raise StackError(msg)
    return reference


def _service(name: str, service: Mapping[str, Any], options: StackOptions) -> Document:
    rendered = {key: value for key, value in service.items() if key not in LAPTOP_KEYS}
    rendered["deploy"] = _deploy(name, service.get("deploy", {}), options)
    rendered["networks"] = list(service.get("networks") or ["default"])
    if "ports" in service:
        rendered["ports"] = [_host_port(name, port) for port in service["ports"]]
    if "volumes" in service:
        rendered["volumes"] = [mount for mount in service["volumes"] if not _is_folder(mount)]
    if "secrets" in service:
        rendered["secrets"] = [
            {"source": secret, "target": secret, "mode": _SECRET_FILE_MODE}
            for secret in service["secrets"]
        ]
    if "healthcheck" in service:
        rendered["healthcheck"] = {
            **service["healthcheck"],
            "interval": HEALTH_CHECK_INTERVAL,
            "start_interval": HEALTH_CHECK_START_INTERVAL,
        }
    if name == "worker":
        rendered["hostname"] = _worker_host_name(options)
    return {key: value for key, value in rendered.items() if value not in ([], {})}


def _deploy(name: str, declared: Mapping[str, Any], options: StackOptions) -> Document:
    """Without IPVS a service has no virtual address, so names resolve to the tasks (dnsrr)."""
    deploy: Document = {**declared, "endpoint_mode": "dnsrr"}
    # A host-mode port cannot be had twice on a node, nor a worker's place: stop before start.
    deploy["update_config"] = {
        "order": "stop-first",
        "parallelism": 1,
        "failure_action": "pause",
        # A task counts as updated when its health check has passed; the swarm then waits this long.
        "monitor": UPDATE_MONITOR,
        **declared.get("update_config", {}),
    }
    if declared.get("restart_policy", {}).get("condition") in ENDS_BY_ITSELF:
        # The end that it is there for is an "early termination" to the swarm's update monitor.
        deploy["update_config"]["failure_action"] = "continue"
    if name == "worker":
        deploy["replicas"] = options.worker_replicas
        deploy["update_config"]["parallelism"] = max(1, options.worker_replicas // 2)
        deploy["placement"] = {
            **declared.get("placement", {}),
            # A new node gets its share with no forced rebalance (moby#24103).
            "max_replicas_per_node": options.workers_per_node,
        }
    return deploy


def _worker_host_name(options: StackOptions) -> str:
    """Name workers after their nodes: it is what a task's record and Flower show.

    Docker 25 and newer resolve a container's host name in its networks, which is how the web
    server finds the logs that a worker serves.
    """
    if options.workers_per_node == 1:
        return "{{.Node.Hostname}}"
    return "{{.Node.Hostname}}-{{.Task.Slot}}"


def _host_port(service: str, port: object) -> Document:
    """Publish on the node itself: the routing mesh needs IPVS (``127.0.0.1:`` is the laptop's)."""
    parts = str(port).split(":")
    if len(parts) not in (2, 3) or not (parts[-1].isdigit() and parts[-2].isdigit()):
        msg = f"services.{service}.ports: {port!r} given; valid: [ADDRESS:]PUBLISHED:TARGET"
        raise StackError(msg)
    return {
        "target": int(parts[-1]),
        "published": int(parts[-2]),
        "protocol": "tcp",
        "mode": "host",
    }


def _is_folder(mount: object) -> bool:
    """Whether a mount is a folder of the user's, which the swarm's nodes do not have."""
    return str(mount).startswith((".", "/", "~"))


def _network(options: StackOptions) -> Document:
    return {
        "driver": "overlay",
        "driver_opts": {"com.docker.network.driver.mtu": str(options.overlay_mtu)},
    }
