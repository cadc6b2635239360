"""The ``local`` target's address plan."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

CANDIDATE_NETWORKS = IPv4Network("10.213.0.0/16")
"""A cluster's network is a part of it. Swarm's own overlay networks use the beginning of
10.0.0.0/8, so they do not overlap."""
LOOPBACK = "127.0.0.1"
ROLE_SLOTS = 100
"""Addresses kept for each role in a cluster's network."""


def address(subnet: str, role: str, number: int) -> str:
    """Return the fixed address of a machine: managers first, then workers.

    It is computed from role and number, never from what else exists, so that no machine's address
    depends on another's.
    """
    base = IPv4Network(subnet).network_address + 10
    return str(IPv4Address(base + (0 if role == "manager" else ROLE_SLOTS) + number))
