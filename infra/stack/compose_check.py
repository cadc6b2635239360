"""Finds everything in a compose file that the swarm cannot run, before any change. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from infra.stack import compose_keys as keys
from infra.stack.mounts import mount_problems
from infra.stack.ports import port_problems
from infra.stack.problems import Problem
from infra.stack.quantities import seconds
from infra.stack.secrets import SECRET_NAMES
from infra.stack.sections import section_problems, shown
from infra.stack.services import WORKER, file_sources, is_on_swarm, networks_of, runs_worker
from infra.stack.yaml_values import as_list, as_object, is_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from infra.stack.compose_keys import Section

Compose = dict[str, Any]

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_NESTED: Mapping[str, Section] = {
    "healthcheck": keys.HEALTH_CHECK,
    "logging": keys.LOGGING,
    "deploy": keys.DEPLOY,
    "deploy.placement": keys.PLACEMENT,
    "deploy.resources": keys.RESOURCES,
    "deploy.resources.limits": keys.LIMITS,
    "deploy.resources.reservations": keys.RESERVATIONS,
    "deploy.restart_policy": keys.RESTART_POLICY,
    "deploy.rollback_config": keys.UPDATE_CONFIG,
    "deploy.update_config": keys.UPDATE_CONFIG,
}
_MODES = ("replicated", "global")


def problems(compose: Compose, task_grace_seconds: float) -> list[Problem]:
    """Return every problem; ``compose`` has its variables filled in."""
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
            found += section_problems(f"{kind}.{name}", declared, section)
            found += _source_problems(kind, name, declared)
    for name, service in _entries(compose, "services"):
        found += _service(name, service, compose, task_grace_seconds)
    running = {
        name: service for name, service in _entries(compose, "services") if is_on_swarm(service)
    }
    return [*found, *port_problems(running)]


def _service(
    name: str, service: Compose, compose: Compose, task_grace_seconds: float
) -> Iterator[Problem]:
    path = f"services.{name}"
    shape = list(section_problems(path, service, keys.SERVICE))
    yield from shape
    if not is_on_swarm(service):
        return
    broken = {problem.path for problem in shape}
    for nested, section in _NESTED.items():
        value = _at(service, nested)
        if value is not None and f"{path}.{nested}" not in broken:
            yield from section_problems(f"{path}.{nested}", value, section)
    yield from _image(path, service)
    yield from _deployment(name, service)
    sound = {key: value for key, value in service.items() if f"{path}.{key}" not in broken}
    yield from _environment(path, sound)
    yield from _references(path, sound, compose)
    yield from mount_problems(path, sound, _names(compose, "volumes"))
    if runs_worker(service):
        yield from _grace(path, sound, task_grace_seconds)


def _image(path: str, service: Compose) -> Iterator[Problem]:
    image = service.get("image")
    if isinstance(image, str) and _DIGEST.search(image):
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
    if name == WORKER and declared.get("replicas") is not None:
        yield Problem(
            path=f"{path}.deploy.replicas",
            given=repr(declared["replicas"]),
            valid="it cannot be used: every worker node runs workersPerNode of them",
            advice="pulumi config set workers NUMBER, or workersPerNode",
        )
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
        for number, entry in enumerate(as_list(service.get(kind))):
            place = f"{path}.{kind}[{number}]"
            if is_object(entry):
                yield from section_problems(place, as_object(entry), keys.FILE_REFERENCE)
            elif not isinstance(entry, str):
                yield Problem(path=place, given=shown(entry), valid="valid: a name or an object")
        for source in file_sources(service, kind):
            if source not in declared:
                yield _undeclared(f"{path}.{kind}", source, kind, declared)
    declared = _names(compose, "networks") | {"default"}
    for name, attachment in networks_of(service).items():
        if name not in declared:
            yield _undeclared(f"{path}.networks", name, "networks", declared)
        yield from section_problems(f"{path}.networks.{name}", attachment, keys.ATTACHMENT)


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
        return
    sources = {"file", "environment", "content", "external"} & set(value)
    if len(sources) != 1 or value.get("external") in (False, "false"):
        yield Problem(
            path=path,
            valid="it needs one source; valid: file, environment or external: true"
            + (", or content" if kind == "configs" else ""),
        )
    if kind == "secrets" and name in SECRET_NAMES and sources != {"file"}:
        yield Problem(
            path=path,
            valid="the name is reserved: the stack generates this secret's value",
            advice="give your secret another name",
        )


def _network(path: str, declared: Compose) -> Iterator[Problem]:
    if declared.get("driver", "overlay") != "overlay":
        yield Problem(
            path=f"{path}.driver",
            given=repr(declared["driver"]),
            valid="valid: overlay, the only driver that connects nodes",
        )
    ipam = as_object(declared.get("ipam"))
    yield from section_problems(f"{path}.ipam", ipam, keys.IPAM)
    for number, subnet in enumerate(as_list(ipam.get("config"))):
        yield from section_problems(f"{path}.ipam.config[{number}]", subnet, keys.IPAM_CONFIG)


def _entries(compose: Compose, kind: str) -> list[tuple[str, Compose]]:
    return [(name, value or {}) for name, value in as_object(compose.get(kind)).items()]


def _names(compose: Compose, kind: str) -> set[str]:
    return {name for name, _ in _entries(compose, kind)}


def _at(value: Any, path: str) -> Any:  # noqa: ANN401 - any YAML
    """Return the value at a path of keys; None if there is none."""
    for key in path.split("."):
        value = as_object(value).get(key)
    return value
