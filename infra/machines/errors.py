"""What is raised when machines cannot be had."""

from __future__ import annotations


class HostError(Exception):
    """Hosts that exist cannot be used, or not be left; says which, why and what to do next."""
