"""Errors of targets."""

from __future__ import annotations

from infra.errors import UserError


class HostError(UserError):
    """Existing hosts cannot be used or released; names the hosts, the reasons and the next step."""
