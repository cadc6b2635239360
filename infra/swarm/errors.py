"""What is raised when the swarm cannot be brought to what is wanted."""

from __future__ import annotations

from infra.errors import UserError


class SwarmError(UserError):
    """The swarm could not be brought to what is wanted; the text says why and what to do."""


class SwarmGoneError(SwarmError):
    """No wanted manager is in a swarm: there is none to look at, and one can be made."""


class SwarmSilentError(SwarmError):
    """No manager can tell how the swarm stands now: whether it is there is not known."""
