"""Which networks Docker is about to take for its own bridges on a host; no I/O."""

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
"""Docker's default address pools, in the order in which it takes from them (moby,
``libnetwork/ipamutils``)."""


def about_to_take(
    routes: Iterable[tuple[str, IPv4Network]], *, engine_runs: bool
) -> list[IPv4Network]:
    """Return the networks of the bridges that a node needs and the host has not got yet.

    ``routes`` are devices and the networks that the host reaches by them, the default route
    excepted: Docker passes over what overlaps one of these, and over nothing else. The default
    bridge comes with the engine; one that runs without it was told to.
    """
    routes = list(routes)
    devices = {device for device, _ in routes}
    missing = (SWARM_BRIDGE not in devices) + (DEFAULT_BRIDGE not in devices and not engine_runs)
    free = (n for n in POOL if not any(n.overlaps(reached) for _, reached in routes))
    return list(islice(free, missing))
