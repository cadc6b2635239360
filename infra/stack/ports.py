"""Published ports of services: on the node itself, since the routing mesh needs IPVS."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from infra import ports
from infra.stack import compose_keys, shapes
from infra.stack.problems import Problem
from infra.stack.sections import section_problems
from infra.stack.yaml_values import as_list, as_object, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RESERVED_PORTS = {
    ports.SSH: "SSH's",
    ports.SWARM: "swarm's",
    ports.REGISTRY: "the registry's",
    ports.GOSSIP: "swarm's",
}
"""TCP ports on which a manager already listens."""

VALID = "[ADDRESS:]PUBLISHED:TARGET[/tcp|/udp], one port each"
_SHORT = re.compile(
    r"(?:(?P<address>\[[0-9a-fA-F:]+\]|[0-9.]+|localhost):)?"
    r"(?P<published>[0-9]{1,5}):(?P<target>[0-9]{1,5})(?:/(?P<protocol>tcp|udp))?"
)
_EVERYWHERE = frozenset({"127.0.0.1", "localhost", "0.0.0.0", "[::]", "[::1]", "::", "::1"})  # noqa: S104
"""Addresses of the laptop, or all addresses of a host: a node publishes on all of its own."""
_MAX_PORT = 65_535


def host_port(port: object) -> dict[str, Any] | None:
    """Return a port in the swarm's form; None if it cannot be published."""
    if is_object(port):
        return _from_long(as_object(port))
    found = _SHORT.fullmatch(str(port))
    if found is None or (found["address"] and found["address"] not in _EVERYWHERE):
        return None
    return _published(int(found["target"]), int(found["published"]), found["protocol"] or "tcp")


def port_problems(services: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """Report ports that cannot be published, and those that two services publish."""
    taken = {(number, "tcp"): owner for number, owner in RESERVED_PORTS.items()}
    for name, service in services.items():
        for index, given in enumerate(as_list(service.get("ports"))):
            path = f"services.{name}.ports[{index}]"
            if is_object(given):
                yield from section_problems(path, as_object(given), compose_keys.PORT)
            port = host_port(given)
            if port is None:
                yield Problem(path=path, given=_shown(given), valid=f"valid: {VALID}")
                continue
            key = (port["published"], port["protocol"])
            if key in taken:
                yield Problem(
                    path=path,
                    given=_shown(given),
                    valid=f"valid: another published port: {key[0]} is {taken[key]}",
                )
            taken[key] = f"{name}'s"


def _from_long(port: dict[str, Any]) -> dict[str, Any] | None:
    published, target = port.get("published"), port.get("target")
    protocol = port.get("protocol") or "tcp"
    if (
        not (shapes.WHOLE.fits(published) and shapes.WHOLE.fits(target))
        or (port.get("mode") or "host") != "host"
        or str(port.get("host_ip") or "127.0.0.1") not in _EVERYWHERE
        or protocol not in ("tcp", "udp")
    ):
        return None
    return _published(int(str(target)), int(str(published)), str(protocol))


def _published(target: int, published: int, protocol: str) -> dict[str, Any] | None:
    if not (0 < target <= _MAX_PORT and 0 < published <= _MAX_PORT):
        return None
    return {"target": target, "published": published, "protocol": protocol, "mode": "host"}


def _shown(port: object) -> str:
    return repr(as_object(port)) if is_object(port) else repr(port)
