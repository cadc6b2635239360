"""Parses the facts that every script about machines prints; see ``scripts/machine_facts.sh``."""

from __future__ import annotations

import json
from typing import Any


def read_ssh_connection(text: str) -> tuple[str, int]:
    """Read SSH_CONNECTION: client address and port, server address and port (ssh(1)).

    Returns the client's address and the server's port. sshd on an IPv6 socket prefixes IPv4
    addresses with ``::ffff:`` (RFC 4291, 2.5.5.2).
    """
    client, _, _, port = text.split()
    return client.removeprefix("::ffff:"), int(port)


def read_mtus(text: str) -> dict[str, int]:
    """Read the MTU (bytes) of the device of each IPv4 address, from iproute2's JSON."""
    devices: list[dict[str, Any]] = json.loads(text)
    return {
        address["local"]: int(device["mtu"])
        for device in devices
        for address in device.get("addr_info", [])
        if "local" in address
    }
