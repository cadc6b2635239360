"""Rotates the swarm's join tokens: who has an old one can no longer join."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.remote.runner import Runner

_ROTATE = (
    "# rotate the swarm's join tokens\n"
    "docker swarm join-token --rotate -q worker > /dev/null"
    " && docker swarm join-token --rotate -q manager > /dev/null"
)


def rotate(manager: Runner) -> None:
    """Replace both tokens. Nodes that have joined have certificates, and do not use a token again.

    Raises:
        RemoteError: if the command failed; it is safe to repeat.

    """
    manager.run(_ROTATE)
