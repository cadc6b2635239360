"""Predicts which networks Docker will take for its bridges on a host; no I/O."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_BRIDGE = "docker0"
SWARM_BRIDGE = "docker_gwbridge"

POOL = (
    *(IPv4Network(f"172.{second}.0.0/16") for second in range(17, 32)),
    *IPv4Network("192.168.0.0/16").subnets(new_prefix=20),
)
"""Docker's default address pools, in the order in which it uses them (moby,
``libnetwork/ipamutils``)."""


def about_to_take(
    routes: Iterable[tuple[str, IPv4Network]], *, engine_runs: bool
) -> list[IPv4Network]:
    """Return the networks of the bridges that a node needs and the host does not have yet.

    ``routes`` are devices and the networks that the host reaches by them, without the default
    route: Docker skips a network that overlaps one of these, and no other. The default bridge comes
    with the engine; an engine that runs without it is configured to.
    """
    routes = list(routes)
    devices = {device for device, _ in routes}
    missing = (SWARM_BRIDGE not in devices) + (DEFAULT_BRIDGE not in devices and not engine_runs)
    free = (n for n in POOL if not any(n.overlaps(reached) for _, reached in routes))
    return list(islice(free, missing))
