"""What is raised when machines cannot be had."""

from __future__ import annotations

from infra.errors import UserError


class HostError(UserError):
    """Hosts that exist cannot be used, or not be left; says which, why and what to do next."""
