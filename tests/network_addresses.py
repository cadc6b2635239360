"""The addresses of a Docker network, as the tests' engine lists them."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docker.models.networks import Network


def addresses_of(network: Network) -> tuple[IPv4Network, str]:
    """Return the subnet of a network, and this machine's address in it.

    An engine that has just started lists its own bridge without a gateway.
    """
    attrs: Any = network.attrs
    config = attrs["IPAM"]["Config"][0]
    subnet = IPv4Network(config["Subnet"])
    return subnet, str(config.get("Gateway", subnet[1])).split("/")[0]
