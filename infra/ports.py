"""The cluster's ports. Other formats repeat them: ``tests/unit/project/test_one_place.py``."""

from __future__ import annotations

SSH = 22
WEB = 8080
"""Airflow's pages and API, in their containers and by default on the managers."""
FLOWER = 5555
REGISTRY = 5000
SWARM = 2377
"""Joining, tasks and Raft, over TCP; fixed in Docker."""
GOSSIP = 7946
"""The state of the overlay networks, over TCP and UDP; fixed in Docker."""
OVERLAY = 4789
"""VXLAN over UDP; Docker's default."""
