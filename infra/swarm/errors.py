"""Errors of swarm operations."""

from __future__ import annotations

from infra.errors import UserError


class SwarmError(UserError):
    """The swarm could not reach the desired state; the message has the cause and the next step."""


class SwarmNotFoundError(SwarmError):
    """None of the cluster's managers is in a swarm: it does not exist, and can be created."""


class SwarmUnreachableError(SwarmError):
    """No manager can report the state of the swarm: whether it exists is unknown."""
