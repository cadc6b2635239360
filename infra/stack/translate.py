"""Translates keys of Compose that a stack would otherwise ignore or reject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.stack import compose_keys
from infra.stack.sections import write_section
from infra.stack.services import networks_of
from infra.stack.yaml_values import as_object

if TYPE_CHECKING:
    from collections.abc import Mapping

TRANSLATED = frozenset(
    {
        "container_name",
        "cpus",
        "mem_limit",
        "mem_reservation",
        "pids_limit",
        "restart",
        "scale",
        "shm_size",
        "tmpfs",
    }
)
"""Keys of a service that have other names in the stack's document."""

_LIMITS = {"cpus": "cpus", "mem_limit": "memory", "pids_limit": "pids"}
_RESERVATIONS = {"mem_reservation": "memory"}
_SECTIONS = {
    "placement": compose_keys.PLACEMENT,
    "restart_policy": compose_keys.RESTART_POLICY,
    "rollback_config": compose_keys.UPDATE_CONFIG,
    "update_config": compose_keys.UPDATE_CONFIG,
}


def deploy_of(service: Mapping[str, Any]) -> dict[str, Any]:
    """Return a service's ``deploy``, including the equivalent keys beside it."""
    deploy = write_section(as_object(service.get("deploy")), compose_keys.DEPLOY)
    for key, section in _SECTIONS.items():
        if key in deploy:
            deploy[key] = write_section(deploy[key], section)
    resources = {
        "limits": _amounts(service, deploy, "limits", _LIMITS, compose_keys.LIMITS),
        "reservations": _amounts(
            service, deploy, "reservations", _RESERVATIONS, compose_keys.RESERVATIONS
        ),
    }
    deploy["resources"] = {kind: amounts for kind, amounts in resources.items() if amounts}
    if service.get("scale") is not None:
        deploy.setdefault("replicas", int(service["scale"]))
    if policy := _restart_policy(str(service.get("restart") or "")):
        deploy.setdefault("restart_policy", policy)
    return {key: value for key, value in deploy.items() if value != {}}


def attachments(service: Mapping[str, Any]) -> list[str] | dict[str, Any]:
    """Return the networks of a service; a container's own name is an alias in each."""
    networks = networks_of(service)
    name = service.get("container_name")
    if name is None and not any(networks.values()):
        return list(networks)
    aliases = [name] if name else []
    return {
        network: {"aliases": [*as_object(attachment).get("aliases", []), *aliases]}
        for network, attachment in networks.items()
    }


def _amounts(
    service: Mapping[str, Any],
    deploy: Mapping[str, Any],
    kind: str,
    written_beside: Mapping[str, str],
    section: compose_keys.Section,
) -> dict[str, Any]:
    beside = {to: service[key] for key, to in written_beside.items() if service.get(key)}
    declared = as_object(as_object(deploy.get("resources")).get(kind))
    return write_section({**beside, **declared}, section)


def _restart_policy(restart: str) -> dict[str, Any]:
    """Translate ``restart``; by default the swarm restarts a task however it ended."""
    condition, _, attempts = restart.partition(":")
    match condition:
        case "no":
            return {"condition": "none"}
        case "on-failure" if attempts:
            return {"condition": condition, "max_attempts": int(attempts)}
        case "on-failure":
            return {"condition": condition}
        case _:
            return {}
