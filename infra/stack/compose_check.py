"""Finds everything in a compose file that the swarm cannot run, before any change. Pure."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

from infra.stack import compose_keys as keys
from infra.stack import mail
from infra.stack.backups import ACCESS_KEY, AUTHORITY, SECRET_KEY
from infra.stack.formats import IMAGE, OBJECT_NAME, SERVICE_NAME, SUBNET
from infra.stack.limits import limit_problems, worker_limit
from infra.stack.mounts import mount_problems, repeated
from infra.stack.network import NETWORK
from infra.stack.own_files import is_external
from infra.stack.ports import port_problems
from infra.stack.problems import Problem
from infra.stack.quantities import seconds, size_bytes
from infra.stack.secrets import (
    NAMING_KEY,
    NEXT,
    RETIRED,
    RETIRED_FERNET_KEYS,
    SECRET_NAMES,
)
from infra.stack.sections import section_problems, shown
from infra.stack.services import WORKER, file_sources, is_on_swarm, networks_of, runs_worker
from infra.stack.shapes import DECIMAL, PROFILES, TABLE
from infra.stack.yaml_values import as_list, as_object, is_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from infra.stack.compose_keys import Section

Compose = dict[str, Any]

_NESTED: Mapping[str, Section] = {
    "healthcheck": keys.HEALTH_CHECK,
    "logging": keys.LOGGING,
    "deploy": keys.DEPLOY,
    "deploy.placement": keys.PLACEMENT,
    "deploy.resources": keys.RESOURCES,
    "deploy.resources.limits": keys.LIMITS,
    "deploy.resources.reservations": keys.RESERVATIONS,
    "deploy.restart_policy": keys.RESTART_POLICY,
    "deploy.rollback_config": keys.ROLLBACK_CONFIG,
    "deploy.update_config": keys.UPDATE_CONFIG,
}
_MODES = ("replicated", "global")
_SAME = {
    "cpus": "deploy.resources.limits.cpus",
    "mem_limit": "deploy.resources.limits.memory",
    "mem_reservation": "deploy.resources.reservations.memory",
    "pids_limit": "deploy.resources.limits.pids",
    "scale": "deploy.replicas",
}
"""What Compose writes in two places; it refuses different values."""

_LOG_OPTIONS = {
    "json-file": frozenset(
        {"compress", "env", "env-regex", "labels", "labels-regex", "max-file", "max-size", "tag"}
        | {"max-buffer-size", "mode"}
    ),
    "local": frozenset({"compress", "max-buffer-size", "max-file", "max-size", "mode"}),
}
"""The options of the drivers that an engine checks when it creates a container."""

_OWN_FILES = frozenset(
    {*SECRET_NAMES, NAMING_KEY, RETIRED_FERNET_KEYS, *RETIRED.values(), *NEXT.values()}
    | {ACCESS_KEY, SECRET_KEY, AUTHORITY, mail.CONNECTION, mail.AUTHORITY}
)
_PREVIOUS = "_previous"
"""How the name of a secret's former value ends, while a rotation needs both."""


def problems(
    compose: Compose, task_grace_seconds: float, memory_limits: Mapping[str, str]
) -> list[Problem]:
    """Return every problem; ``compose`` has its variables filled in.

    ``memory_limits`` are the settings' by service; `infra.compose_capacity` checks these services.
    """
    found = list(section_problems("", compose, keys.TOP))
    if not as_object(compose.get("services")):
        found.append(Problem(path="services", valid="valid: at least one service"))
        return found
    for kind, section in (
        ("networks", keys.NETWORK),
        ("volumes", keys.VOLUME),
        ("secrets", keys.SECRET),
        ("configs", keys.CONFIG),
    ):
        for name, declared in _entries(compose, kind):
            found += _name_problems(kind, name, OBJECT_NAME)
            found += section_problems(f"{kind}.{name}", declared, section)
            found += _source_problems(kind, name, declared)
    worker_memory = worker_limit(memory_limits)
    for name, service in _entries(compose, "services"):
        found += _name_problems("services", name, SERVICE_NAME)
        found += _service(name, service, compose, task_grace_seconds)
        if name not in memory_limits:
            found += limit_problems(f"services.{name}", as_object(service), worker_memory)
    running = {
        name: as_object(service)
        for name, service in _entries(compose, "services")
        if is_on_swarm(as_object(service))
    }
    return [*found, *port_problems(running)]


def _service(
    name: str, given: object, compose: Compose, task_grace_seconds: float
) -> Iterator[Problem]:
    path = f"services.{name}"
    service = as_object(given)
    shape = list(section_problems(path, given, keys.SERVICE))
    yield from shape
    if not is_object(given) and given is not None:
        return
    profiles = service.get("profiles")
    if profiles is not None and not PROFILES.fits(profiles):
        yield Problem(
            path=f"{path}.profiles", given=shown(profiles), valid=f"valid: {PROFILES.valid}"
        )
    if not is_on_swarm(service):
        return
    broken = {re.split(r"[.\[]", problem.path[len(path) + 1 :])[0] for problem in shape}
    for nested, section in _NESTED.items():
        value = _at(service, nested)
        if value is not None and nested not in broken:
            yield from section_problems(f"{path}.{nested}", value, section)
    yield from _image(path, service)
    yield from _deployment(name, service)
    yield from _amounts_written_twice(path, service)
    yield from _log_options(path, service)
    sound = {key: value for key, value in service.items() if key not in broken}
    yield from _environment(path, sound)
    yield from _references(path, sound, compose)
    yield from mount_problems(path, sound, _names(compose, "volumes"))
    if runs_worker(service):
        yield from _grace(path, sound, task_grace_seconds)


def _image(path: str, service: Compose) -> Iterator[Problem]:
    image = service.get("image")
    if isinstance(image, str) and IMAGE.fullmatch(image):
        return
    if image is None or isinstance(image, str):
        advice = (
            f"use the digest that docker buildx imagetools inspect {image} prints"
            if image
            else "build the image, push it to a registry, and give its digest here"
        )
        yield Problem(
            path=f"{path}.image",
            given=repr(image) if image else "no image",
            valid="valid: NAME@sha256:…, because the swarm does not build images, and each node"
            " would resolve a tag by itself when it starts a task",
            advice=advice,
        )


def _deployment(name: str, service: Compose) -> Iterator[Problem]:
    path = f"services.{name}"
    declared = as_object(service.get("deploy"))
    mode = declared.get("mode")
    if mode is not None and mode not in _MODES:
        yield Problem(
            path=f"{path}.deploy.mode",
            given=repr(mode),
            valid=f"valid: {' or '.join(_MODES)}: the deployment waits for services that stay up",
            advice="set restart_policy.condition to none for a service that ends",
        )
    yield from _numbers_of_tasks(name, service)
    if declared.get("endpoint_mode") not in (None, "dnsrr"):
        yield Problem(
            path=f"{path}.deploy.endpoint_mode",
            given=repr(declared["endpoint_mode"]),
            valid="valid: dnsrr, because a virtual address needs IPVS in every node's kernel",
        )
    if _at(service, "deploy.update_config.order") == "start-first" and (
        service.get("ports") or runs_worker(service)
    ):
        yield Problem(
            path=f"{path}.deploy.update_config.order",
            given="'start-first'",
            valid="valid: stop-first, because a published port, or a worker's name, exists only"
            " once on a node",
        )


def _numbers_of_tasks(name: str, service: Compose) -> Iterator[Problem]:
    path = f"services.{name}"
    mode = _at(service, "deploy.mode")
    given = {"deploy.replicas": _at(service, "deploy.replicas"), "scale": service.get("scale")}
    numbers = {place: number for place, number in given.items() if number is not None}
    if name == WORKER:
        refused = {**numbers, "deploy.mode": mode} if mode == "global" else numbers
        valid = "it cannot be used: every worker node runs workersPerNode of them"
        advice = "pulumi config set workers NUMBER, or workersPerNode"
    else:
        refused = numbers if mode == "global" else {}
        valid = "it cannot be used with mode global, which runs one task on each node"
        advice = "remove the number, or deploy.mode"
    for place, number in refused.items():
        yield Problem(path=f"{path}.{place}", given=shown(number), valid=valid, advice=advice)


def _amounts_written_twice(path: str, service: Compose) -> Iterator[Problem]:
    for key, other in _SAME.items():
        here, there = service.get(key), _at(service, other)
        if here is None or there is None or _amount(key, here) == _amount(key, there):
            continue
        yield Problem(
            path=f"{path}.{key}",
            given=shown(here),
            valid=f"valid: one of the two: {other} is {shown(there)}",
            advice=f"remove {key}",
        )


def _amount(key: str, value: object) -> object:
    """Return what an amount means, however it is written."""
    if key == "cpus" and DECIMAL.fits(value):
        return float(str(value))
    return size_bytes(value) if key.startswith("mem_") else str(value)


def _log_options(path: str, service: Compose) -> Iterator[Problem]:
    driver = _at(service, "logging.driver")
    known = _LOG_OPTIONS.get(driver) if isinstance(driver, str) else None
    options = _at(service, "logging.options")
    if known is None or not TABLE.fits(options):
        return
    for name in TABLE.write(options):
        if name not in known:
            yield Problem(
                path=f"{path}.logging.options.{name}",
                valid=f"valid: {', '.join(sorted(known))}, which {driver} has",
            )


def _environment(path: str, service: Compose) -> Iterator[Problem]:
    environment = service.get("environment")
    split = (str(entry).partition("=") for entry in as_list(environment))
    given = [(name, value if equals else None) for name, equals, value in split]
    given += as_object(environment).items()
    for name, value in given:
        if value is None:
            yield Problem(
                path=f"{path}.environment.{name}",
                valid="a value is missing: the swarm does not have the shell's environment",
                advice="write the value here, or use a secret with environment:",
            )
    hosts = service.get("extra_hosts")
    if hosts and "host-gateway" in str(hosts):
        yield Problem(
            path=f"{path}.extra_hosts",
            given="'host-gateway'",
            valid="valid: an address, because the engine's host-gateway does not exist on a swarm",
        )


def _references(path: str, service: Compose, compose: Compose) -> Iterator[Problem]:
    for kind in ("secrets", "configs"):
        declared = _names(compose, kind)
        yield from _file_references(path, service, kind)
        for source in file_sources(service, kind):
            if source not in declared:
                yield _undeclared(f"{path}.{kind}", source, kind, declared)
    declared = _names(compose, "networks") | {NETWORK}
    for name, attachment in networks_of(service).items():
        if name not in declared:
            yield _undeclared(f"{path}.networks", name, "networks", declared)
        yield from section_problems(f"{path}.networks.{name}", attachment, keys.ATTACHMENT)


def _file_references(path: str, service: Compose, kind: str) -> Iterator[Problem]:
    folder = "/run/secrets" if kind == "secrets" else "/"
    targets: list[tuple[str, str]] = []
    for number, entry in enumerate(as_list(service.get(kind))):
        place = f"{path}.{kind}[{number}]"
        reference = as_object(entry) or {"source": entry}
        source = reference.get("source")
        if is_object(entry):
            yield from section_problems(place, as_object(entry), keys.FILE_REFERENCE)
        if not isinstance(source, str) or not source:
            yield Problem(
                path=place,
                given=shown(entry),
                valid=f"valid: a name that {kind} declares, or an object with it as its source",
            )
            continue
        target = posixpath.normpath(posixpath.join(folder, str(reference.get("target") or source)))
        targets.append((place, target))
    yield from repeated(targets, ", because a container has each file once")


def _undeclared(path: str, name: str, kind: str, declared: Iterable[str]) -> Problem:
    return Problem(
        path=path,
        given=repr(name),
        valid=f"valid: {', '.join(sorted(declared)) or 'nothing'}, which {kind} declares",
        advice=f"declare {name} under {kind} at the end of the file",
    )


def _grace(path: str, service: Compose, task_grace_seconds: float) -> Iterator[Problem]:
    grace = service.get("stop_grace_period")
    longest = seconds(grace) if isinstance(grace, str) else None
    if longest is not None and longest > task_grace_seconds:
        yield Problem(
            path=f"{path}.stop_grace_period",
            given=repr(grace),
            valid=f"valid: up to {task_grace_seconds:g}s, which is how long a node waits for its"
            " tasks when it leaves",
            advice=f"pulumi config set taskGrace {longest:.0f}",
        )


def _source_problems(kind: str, name: str, declared: Any) -> Iterator[Problem]:  # noqa: ANN401 - any YAML
    path = f"{kind}.{name}"
    value = as_object(declared)
    if kind == "networks":
        yield from _network(path, value)
    if kind not in ("secrets", "configs"):
        yield from _external(path, value)
        return
    given = {key for key, entry in value.items() if entry is not None}
    sources = {"file", "environment", "content"} & given
    sources |= {"external"} if is_external(value) else set()
    if len(sources) != 1:
        yield Problem(
            path=path,
            valid="it needs one source; valid: file, environment or external: true"
            + (", or content" if kind == "configs" else ""),
        )
    if "name" in given and not is_external(value):
        yield Problem(
            path=f"{path}.name",
            valid="it cannot be used: the stack names it by its value, so that a new value is"
            " another object",
            advice="remove it; services name it as the file does",
        )
    if kind == "secrets" and _is_own(name) and (name not in SECRET_NAMES or sources != {"file"}):
        yield Problem(
            path=path,
            valid="the name is reserved: the stack generates this secret's value",
            advice="give your secret another name",
        )


def _is_own(name: str) -> bool:
    former = name.removesuffix(_PREVIOUS)
    return name in _OWN_FILES or former in SECRET_NAMES or name.lower().startswith("airflow__")


def _external(path: str, declared: Compose) -> Iterator[Problem]:
    if not is_external(declared):
        return
    for key, value in declared.items():
        if key not in ("external", "name") and not key.startswith("x-") and value is not None:
            yield Problem(
                path=f"{path}.{key}",
                valid="it cannot be used with external: true, which is made outside of the stack",
                advice="remove one of the two",
            )


def _name_problems(kind: str, name: str, pattern: re.Pattern[str]) -> Iterator[Problem]:
    if pattern.fullmatch(name) is None:
        characters = "letters, digits, - and _" if kind == "services" else "letters, digits, . - _"
        yield Problem(
            path=f"{kind}.{name}",
            given=shown(name),
            valid=f"valid: a name of {characters}, of 50 characters at most",
        )


def _network(path: str, declared: Compose) -> Iterator[Problem]:
    if declared.get("driver") not in (None, "overlay"):
        yield Problem(
            path=f"{path}.driver",
            given=repr(declared["driver"]),
            valid="valid: overlay, the only driver that connects nodes",
        )
    ipam = as_object(declared.get("ipam"))
    yield from section_problems(f"{path}.ipam", ipam, keys.IPAM)
    for number, subnet in enumerate(as_list(ipam.get("config"))):
        place = f"{path}.ipam.config[{number}]"
        yield from section_problems(place, subnet, keys.IPAM_CONFIG)
        if as_object(subnet).get("subnet") is None:
            yield Problem(
                path=place, given=shown(subnet), valid=f"valid: {{subnet: …}}, {SUBNET.valid}"
            )


def _entries(compose: Compose, kind: str) -> list[tuple[str, Any]]:
    return list(as_object(compose.get(kind)).items())


def _names(compose: Compose, kind: str) -> set[str]:
    return {name for name, _ in _entries(compose, kind)}


def _at(value: Any, path: str) -> Any:  # noqa: ANN401 - any YAML
    """Return the value at a path of keys; None if there is none."""
    for key in path.split("."):
        value = as_object(value).get(key)
    return value
