"""Computes how many addresses the stack's overlay network needs, and chooses a subnet. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from infra.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

NETWORK = "default"
"""The network's name in the compose file."""

WIDEST_PREFIX = 16
NARROWEST_PREFIX = 24
RESERVED_ADDRESSES = 3
"""The addresses of the network, of its gateway, and for broadcasts."""

SERVICES_OF_ONE_TASK = 12
"""Services with one task, with a reserve for a user's own."""
SERVICES_ON_EACH_MANAGER = 3
"""The web server, the proxy in front of it, and the copies of task logs."""

_PREFIXES = (20, 18, 16)
_STARTS = ("10.192.0.0", "172.16.0.0", "100.112.0.0")
"""Address ranges that neither Docker (its bridges begin at 172.17.0.0 and 192.168.0.0, its overlays
at 10.0.0.0) nor a target of this project uses by itself."""


class NoSubnetError(UserError):
    """No subnet is large enough without overlapping the machines' addresses."""


@dataclass(frozen=True, kw_only=True)
class Demand:
    """Number of addresses that the network needs."""

    managers: int
    worker_nodes: int
    workers: int

    @property
    def others(self) -> int:
        """Tasks other than Celery workers."""
        return self.managers * SERVICES_ON_EACH_MANAGER + SERVICES_OF_ONE_TASK

    @property
    def replaced(self) -> int:
        """Tasks beside their replacements: an update replaces half of the workers at a time."""
        return max(1, self.workers // 2) + self.others

    @property
    def addresses(self) -> int:
        """Largest number of addresses in use at the same time."""
        nodes = self.managers + self.worker_nodes
        return self.workers + self.others + self.replaced + nodes

    def __str__(self) -> str:
        """Show the parts of `addresses`."""
        return (
            f"{self.workers:,} for Celery workers, {self.others} for the other services,"
            f" {self.replaced:,} for tasks that an update replaces,"
            f" {self.managers + self.worker_nodes:,} for the nodes"
        )


def capacity(subnet: str) -> int:
    """Return the number of addresses for tasks and nodes in a subnet."""
    return IPv4Network(subnet).num_addresses - RESERVED_ADDRESSES


def choose(demand: Demand, machines: Iterable[str]) -> str:
    """Choose a subnet that is large enough and does not contain a machine's address.

    Raises:
        NoSubnetError: if there is none.

    """
    addresses = [IPv4Address(machine) for machine in machines]
    for prefix in _PREFIXES:
        for start in _STARTS:
            subnet = f"{start}/{prefix}"
            clear = not any(address in IPv4Network(subnet) for address in addresses)
            if clear and capacity(subnet) >= demand.addresses:
                return subnet
    msg = (
        f"{demand.addresses:,} addresses are needed ({demand}). None of the networks that this"
        f" program chooses from ({', '.join(_STARTS)}, /{_PREFIXES[0]} to /{WIDEST_PREFIX}) has"
        " them without overlapping the machines' addresses.\n"
        "Next: choose one with `pulumi config set overlayNetwork NETWORK`."
    )
    raise NoSubnetError(msg)
