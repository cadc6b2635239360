"""Renders the compose file as the document of a swarm stack. Pure: no I/O, clock or randomness.

``docker-compose.yaml`` has what both the laptop and the swarm need. What only one of them can use
is added or removed here: a swarm does not build images, order starts or mount the user's folders,
has no service address without IPVS, and cannot change a secret.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.stack import compose_keys
from infra.stack.compose_check import problems
from infra.stack.compose_yaml import value_problems
from infra.stack.errors import StackError
from infra.stack.interpolate import escape, interpolate
from infra.stack.limits import memory_limit, worker_limit
from infra.stack.loads import demand_on, load_problems, loads
from infra.stack.mounts import rendered_mounts
from infra.stack.network import NETWORK, written_subnets
from infra.stack.options import AIRFLOW_RUNS_PER_DAG
from infra.stack.own_files import is_external
from infra.stack.ports import host_port
from infra.stack.problems import FILE, refuse
from infra.stack.quantities import seconds
from infra.stack.secrets import (
    JWT_SECRET,
    NAMING_KEY,
    POOLER_PASSWORD,
    RETIRED,
    WAREHOUSE_PASSWORD,
    hashed_name,
    require,
)
from infra.stack.sections import write_section
from infra.stack.services import WORKER, file_sources, is_on_swarm, networks_of, runs_worker
from infra.stack.tasks import DIGEST_LABEL, ENDS_BY_ITSELF, TIME_LABEL, WORKER_LABEL
from infra.stack.translate import TRANSLATED, attachments, deploy_of
from infra.stack.yaml_values import as_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from infra.stack.loads import Load
    from infra.stack.options import StackOptions
    from infra.stack.problems import Problem

Document = dict[str, Any]

FILE_FORMAT = "3.12"
"""The newest compose format of ``docker stack deploy``, of release 25; older ones reject
``start_interval``."""

HEALTH_CHECK_INTERVAL = "30s"
HEALTH_CHECK_START_INTERVAL = "2s"
UPDATE_MONITOR = "1s"
DAG_PARSE_SECONDS = 60
"""The swarm's DAGs change only with the image, so that frequent parsing is not useful."""

BOUNDED_LOG = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
"""The log of a service without ``logging``, since an engine's default is unlimited."""

LOG_STORE = "log-store"
"""The service to which workers copy task logs: one task on each manager."""

_AIRFLOW_VARIABLE = "AIRFLOW__"
_MERGED_VARIABLE = "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"
"""An option whose value is a JSON object: the user's keys are added to the compose file's."""
_SECRET_FILES_VARIABLE = "SECRET_FILES"  # noqa: S105 - its name
"""The paths of secrets outside of ``/run/secrets``, a line each: Airflow's logs mask those too."""
_REPOSITORY_VARIABLE = "BACKUP_S3_BUCKET"
"""The environment variable of services that read the repository of the backups."""
_SECRET_FILE_MODE = 0o444
_NOT_IN_A_HOST_NAME = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, kw_only=True)
class RenderedStack:
    """A stack that is ready for deployment.

    ``secrets`` and ``configs`` map each logical name to the swarm's name for its current value,
    without external ones. ``web_port`` is the port on which managers publish the web server;
    ``task_grace_seconds`` is how long a worker may take to finish its tasks. ``addresses`` is how
    many the stack's network needs, ``demand`` lists their uses.
    """

    name: str
    document: Document
    secrets: Mapping[str, str]
    web_port: int
    task_grace_seconds: float
    subnet: str
    addresses: int
    demand: str
    configs: Mapping[str, str] = field(default_factory=dict[str, str])

    def to_bytes(self, at: datetime) -> bytes:
        """Return the input of ``docker stack deploy -c -`` (JSON is YAML).

        Every service has labels with the document's digest, by which `observe` recognises it, and
        with the time, which makes each deployment different for the swarm: it ignores one that is
        equal to an update in progress, even if that update has failed and only waits for a task to
        stop (swarmkit's ``update.Supervisor.Update``). Tasks do not have the labels.
        """
        labels = {DIGEST_LABEL: self.digest(), TIME_LABEL: at.isoformat()}
        labelled = copy.deepcopy(self.document)
        for service in labelled["services"].values():
            service["deploy"].setdefault("labels", {}).update(labels)
        return _encode(labelled)

    def digest(self) -> str:
        """Return a hash of everything that is deployed; an equal hash means no change."""
        return _digest(self.document)


def render(compose: Mapping[str, Any], options: StackOptions) -> RenderedStack:
    """Render the compose file for the cluster that ``options`` describes.

    Raises:
        StackError: if the compose file or the options cannot be deployed; has all causes.

    """
    require(options.secrets)
    ready = prepared(compose, options)
    refuse(ready.mistakes)
    source = ready.source
    demand = demand_on(NETWORK, ready.loads, options.nodes)
    files = {
        **airflow_files(options.airflow_secrets),
        **options.backups.secrets,
        **(options.mail.secrets if options.mail else {}),
    }
    files |= {name: options.secrets[name] for name in RETIRED.values() if name in options.secrets}
    secrets = _swarm_names(options, {**options.secrets, **options.own_secrets, **files})
    configs = _swarm_names(options, options.configs)
    document: Document = {
        "version": FILE_FORMAT,
        "services": ready.services,
        "networks": _networks(source, options),
        "volumes": {
            name: write_section(as_object(declared), compose_keys.VOLUME)
            for name, declared in as_object(source.get("volumes")).items()
        },
        "secrets": {
            **_files(source.get("secrets"), secrets),
            **_files(dict.fromkeys(files), secrets),
        },
        "configs": _files(source.get("configs"), configs),
    }
    return RenderedStack(
        name=options.name,
        document=escape({key: value for key, value in document.items() if value != {}}),
        secrets=secrets,
        configs=configs,
        web_port=options.web_port,
        task_grace_seconds=options.task_grace_seconds,
        subnet=written_subnets(source).get(NETWORK) or options.subnet,
        addresses=demand.addresses,
        demand=str(demand),
    )


def airflow_files(secrets: Mapping[str, str]) -> dict[str, str]:
    """Return Airflow's secret options by the names of their files."""
    return {variable.lower(): value for variable, value in secrets.items()}


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The compose file with its variables filled in, and its problems on a swarm.

    ``services`` are as they are rendered, and ``loads`` what each puts on the cluster; both are
    empty if there are ``mistakes``.
    """

    source: dict[str, Any]
    mistakes: Sequence[Problem]
    services: Mapping[str, Document] = field(default_factory=dict[str, Document])
    loads: Sequence[Load] = ()


def prepared(compose: Mapping[str, Any], options: StackOptions) -> Prepared:
    """Fill in the compose file's variables, and check and count what it has."""
    if odd := value_problems(compose):
        return Prepared(source={}, mistakes=odd)
    # The number of slots is a variable, and follows from the services that are there.
    source, unfilled = interpolate(dict(compose), _variables(options, slots=0))
    found = problems(source, options.task_grace_seconds, options.memory_limits)
    if mistakes := [*unfilled, *found]:
        return Prepared(source=source, mistakes=mistakes)
    services = _services(source, options)
    if mistakes := list(load_problems(services, options.nodes)):
        return Prepared(source=source, mistakes=mistakes)
    counted = loads(services, options.nodes)
    slots = sum(load.tasks * load.slots for load in counted)
    source, _ = interpolate(dict(compose), _variables(options, slots=slots))
    return Prepared(source=source, mistakes=(), services=_services(source, options), loads=counted)


def _services(source: Mapping[str, Any], options: StackOptions) -> dict[str, Document]:
    return {
        name: _service(name, service, options)
        for name, service in source["services"].items()
        if is_on_swarm(service)
    }


def _swarm_names(options: StackOptions, values: Mapping[str, str]) -> dict[str, str]:
    key = options.secrets.get(NAMING_KEY) or options.secrets["fernet_key"]
    return {
        name: hashed_name(options.name, name, value, key)
        for name, value in values.items()
        if name != NAMING_KEY
    }


def _files(declared: object, names: Mapping[str, str]) -> Document:
    """Declare secrets, or configs, as external: ``docker stack deploy`` does not create them."""
    return {
        name: {
            "external": True,
            "name": as_object(value).get("name", name)
            if is_external(as_object(value))
            else _swarm_name(name, names),
        }
        for name, value in as_object(declared).items()
    }


def _swarm_name(name: str, names: Mapping[str, str]) -> str:
    if name not in names:
        msg = f"{name} has no value. Next: declare its file, environment or content in {FILE}."
        raise StackError(msg)
    return names[name]


def _encode(document: Document) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True).encode()


def _digest(document: Document) -> str:
    return hashlib.sha256(_encode(document)).hexdigest()


def _variables(options: StackOptions, *, slots: int) -> dict[str, str]:
    return {
        "DAIRFLOW_AIRFLOW_IMAGE": _image(options, "airflow"),
        "DAIRFLOW_POSTGRES_IMAGE": _image(options, "postgres"),
        "DAIRFLOW_REDIS_IMAGE": _image(options, "redis"),
        "DAIRFLOW_WEB_IMAGE": _image(options, "web"),
        "DAIRFLOW_WEB_PORT": str(options.web_port),
        "DAIRFLOW_FLOWER_PORT": str(options.flower_port),
        "DAIRFLOW_BASE_URL": options.base_url,
        "DAIRFLOW_WORKER_CONCURRENCY": str(options.worker_concurrency),
        "DAIRFLOW_PARALLELISM": str(slots),
        # Enough to fill the slots with one task of each run.
        "DAIRFLOW_RUNS_PER_DAG": str(max(AIRFLOW_RUNS_PER_DAG, slots)),
        "DAIRFLOW_TASK_GRACE": str(options.task_grace_seconds),
        "DAIRFLOW_LOG_RETENTION_DAYS": str(options.log_retention_days),
        "DAIRFLOW_LOG_STORE": LOG_STORE,
        "DAIRFLOW_LOG_STORES": str(options.managers),
        **{memory_variable(name): size for name, size in options.memory_limits.items()},
        **options.backups.variables,
        "DAIRFLOW_PARSE_SECONDS": str(DAG_PARSE_SECONDS),
        "DAIRFLOW_REFRESH_SECONDS": str(DAG_PARSE_SECONDS),
    }


def memory_variable(service: str) -> str:
    """Return the compose file's variable for a service's memory limit."""
    return f"DAIRFLOW_MEMORY_{service.upper().replace('-', '_')}"


def _image(options: StackOptions, kind: str) -> str:
    reference = options.images.get(kind, "")
    if "@sha256:" not in reference:
        msg = (
            f"the image for {kind} is {reference!r}: give it by digest, as NAME@sha256:…, since a"
            " deployment continues if a tag does not resolve (docker/cli#787)"
        )
        raise StackError(msg)
    return reference


def _service(name: str, service: Mapping[str, Any], options: StackOptions) -> Document:
    written = write_section(service, compose_keys.SERVICE)
    rendered = {key: value for key, value in written.items() if key not in TRANSLATED}
    rendered["deploy"] = _deploy(service, options)
    rendered["networks"] = attachments(service)
    rendered["volumes"] = rendered_mounts(service)
    if "ports" in written:
        rendered["ports"] = [host_port(port) for port in written["ports"]]
    for kind in ("secrets", "configs"):
        if kind in written:
            rendered[kind] = [file_reference(entry, kind) for entry in written[kind]]
    if any(name.startswith(_AIRFLOW_VARIABLE) for name in written.get("environment", {})):
        _configure_airflow(rendered, options)
    if added := _added_secrets(name, rendered, options):
        references = [file_reference(file, "secrets") for file in added]
        rendered["secrets"] = [*rendered.get("secrets", []), *references]
    if "healthcheck" in written:
        rendered["healthcheck"] = _health_check(written["healthcheck"])
    rendered["logging"] = write_section(written.get("logging") or BOUNDED_LOG, compose_keys.LOGGING)
    if runs_worker(service):
        has_slots = rendered["deploy"].get("mode") != "global" and options.workers_per_node > 1
        rendered.setdefault("hostname", _worker_host_name(name, has_slots=has_slots))
        rendered.setdefault("stop_grace_period", f"{options.task_grace_seconds}s")
    return {key: value for key, value in rendered.items() if value not in ([], {})}


def _configure_airflow(rendered: Document, options: StackOptions) -> None:
    """Add the user's Airflow options to a service; a secret option is read by a command."""
    commands = {
        f"{variable}_CMD": f"cat /run/secrets/{variable.lower()}"
        for variable in options.airflow_secrets
    }
    rendered["environment"] = {
        **rendered["environment"],
        **(options.mail.variables if options.mail else {}),
        **options.airflow_variables,
        **_merged_variable(rendered["environment"], options),
        **commands,
    }
    files = [file_reference(name, "secrets") for name in airflow_files(options.airflow_secrets)]
    rendered["secrets"] = [*rendered.get("secrets", []), *files]
    targets = (str(entry["target"]) for entry in rendered["secrets"])
    if elsewhere := [target for target in targets if target.startswith("/")]:
        rendered["environment"][_SECRET_FILES_VARIABLE] = "\n".join(elsewhere)


def _merged_variable(environment: Mapping[str, Any], options: StackOptions) -> dict[str, str]:
    """Add the keys of the user's object to those of the compose file's."""
    own = environment.get(_MERGED_VARIABLE)
    added = options.airflow_variables.get(_MERGED_VARIABLE)
    if not own or not added:
        return {}
    try:
        return {_MERGED_VARIABLE: json.dumps({**json.loads(own), **json.loads(added)})}
    except (TypeError, ValueError):
        msg = f"{_MERGED_VARIABLE} in the compose file is {own!r}: it has to be a JSON object"
        raise StackError(msg) from None


def file_reference(entry: str | Mapping[str, Any], kind: str) -> Document:
    """Return the reference to a secret or a config, with its path in the container."""
    given = {"source": entry} if isinstance(entry, str) else dict(entry)
    target = given["source"] if kind == "secrets" else f"/{given['source']}"
    written = write_section(given, compose_keys.FILE_REFERENCE)
    return {"target": target, "mode": _SECRET_FILE_MODE, **written}


def _health_check(declared: Mapping[str, Any]) -> Document:
    """Return a health check, rarer than on a laptop: checks take CPU time from tasks."""
    written = write_section(declared, compose_keys.HEALTH_CHECK)
    if written.get("disable"):
        return {"disable": True}
    interval = written.get("interval", HEALTH_CHECK_INTERVAL)
    if (seconds(interval) or 0) < (seconds(HEALTH_CHECK_INTERVAL) or 0):
        interval = HEALTH_CHECK_INTERVAL
    return {"start_interval": HEALTH_CHECK_START_INTERVAL, **written, "interval": interval}


def _deploy(service: Mapping[str, Any], options: StackOptions) -> Document:
    """Return a service's ``deploy``. Names resolve to tasks: virtual addresses need IPVS."""
    declared = deploy_of(service)
    deploy: Document = {**declared, "endpoint_mode": "dnsrr"}
    resources = declared.get("resources", {})
    limits = {
        **resources.get("limits", {}),
        "memory": memory_limit(service, worker_limit(options.memory_limits)),
    }
    deploy["resources"] = {**resources, "limits": limits}
    # A host-mode port, or a worker's place, exists once on a node: stop before start.
    update: Document = {
        "order": "stop-first",
        "parallelism": 1,
        "failure_action": "pause",
        # A task counts as updated after its health check has passed; the swarm then waits this
        # long.
        "monitor": UPDATE_MONITOR,
    }
    if declared.get("restart_policy", {}).get("condition") in ENDS_BY_ITSELF:
        # The intended end of its task is an "early termination" for the swarm's update monitor.
        update["failure_action"] = "continue"
    if runs_worker(service):
        deploy["labels"] = {**declared.get("labels", {}), WORKER_LABEL: "true"}
        if declared.get("mode") != "global":
            _place_workers(deploy, update, options)
    deploy["update_config"] = {**update, **declared.get("update_config", {})}
    return deploy


def _place_workers(deploy: Document, update: Document, options: StackOptions) -> None:
    """Place an equal share of a worker service on each worker node."""
    deploy.setdefault("replicas", options.worker_replicas)
    update["parallelism"] = max(1, deploy["replicas"] // 2)
    deploy["placement"] = {
        "constraints": ["node.role == worker"],
        # A new node gets its share without a forced rebalance (moby#24103).
        "max_replicas_per_node": options.workers_per_node,
        **deploy.get("placement", {}),
    }


def _added_secrets(name: str, rendered: Document, options: StackOptions) -> list[str]:
    """Return the names of a service's secrets that are not in the compose file."""
    retired = [RETIRED[one] for one in accepted_by(rendered) if RETIRED[one] in options.secrets]
    reads_repository = _REPOSITORY_VARIABLE in rendered.get("environment", {})
    repository = list(options.backups.secrets) if reads_repository else []
    role = WORKER if WORKER_LABEL in rendered["deploy"].get("labels", {}) else name
    mail = options.mail.files(role) if options.mail else []
    return [*retired, *repository, *mail]


def accepted_by(service: Mapping[str, Any]) -> list[str]:
    """Return the secrets of `RETIRED` that others show to a service: it accepts two values.

    The API server accepts tokens. PgBouncer, which alone has its own password and the warehouse's,
    accepts the tasks' one.
    """
    has = file_sources(service, "secrets")
    accepts = {
        JWT_SECRET: JWT_SECRET in has,
        WAREHOUSE_PASSWORD: {WAREHOUSE_PASSWORD, POOLER_PASSWORD} <= set(has),
    }
    return [name for name, accepted in accepts.items() if accepted]


def _worker_host_name(name: str, *, has_slots: bool) -> str:
    """Return a worker's host name, after its node: task records and Flower show it.

    Docker 25 and newer resolve a container's host name in its networks, by which the web server
    reads the logs that a worker serves. So the name differs from every other worker's, except its
    own replacement's: while a stopping worker finishes its tasks, both have the same name
    (swarmkit#3274), and both serve the logs of the node's one volume.
    """
    node = "{{.Node.Hostname}}"
    if name != WORKER:
        node = f"{node}-{_NOT_IN_A_HOST_NAME.sub('-', name)}"
    return f"{node}-{{{{.Task.Slot}}}}" if has_slots else node


def _networks(source: Mapping[str, Any], options: StackOptions) -> Document:
    declared = as_object(source.get("networks"))
    used = {
        network
        for service in source["services"].values()
        if is_on_swarm(service)
        for network in networks_of(service)
    }
    return {
        name: _network(name, as_object(declared.get(name)), options)
        for name in sorted({*declared, *used})
    }


def _network(name: str, declared: Mapping[str, Any], options: StackOptions) -> Document:
    written = write_section(declared, compose_keys.NETWORK)
    if is_external(declared):
        return written
    mtu = {"com.docker.network.driver.mtu": str(options.overlay_mtu)}
    rendered: Document = {
        **written,
        "driver": "overlay",
        "driver_opts": {**mtu, **written.get("driver_opts", {})},
    }
    if "ipam" in written:
        rendered["ipam"] = _ipam(written["ipam"])
    elif name == NETWORK:
        rendered["ipam"] = {"config": [{"subnet": options.subnet}]}
    return rendered


def _ipam(declared: Mapping[str, Any]) -> Document:
    written = write_section(declared, compose_keys.IPAM)
    if "config" in written:
        written["config"] = [
            write_section(entry, compose_keys.IPAM_CONFIG) for entry in written["config"]
        ]
    return written
