"""The connection to Docker's engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
from docker.context import ContextAPI
from docker.context.config import get_current_context_name
from docker.errors import DockerException
from docker.utils import kwargs_from_env

from .errors import SILENCE_SECONDS, EngineError

if TYPE_CHECKING:
    from .cancellation import Cancellation

_DESKTOP_SOCKETS = (".docker/run/docker.sock", ".docker/desktop/docker.sock")


def connect(host: str | None, cancellation: Cancellation) -> docker.APIClient:
    """Connect to the given engine, or to the one that the docker command would use.

    That is ``DOCKER_HOST``'s, or the current context's, or this machine's own.

    Every read waits at most half an hour.

    Raises:
        EngineError: no engine answers there.

    """
    settings: dict[str, Any] = {**kwargs_from_env()}
    if not host and "base_url" not in settings:
        settings |= _context()
    address = host or settings.get("base_url") or _local_socket()
    settings["base_url"] = address
    try:
        client = docker.APIClient(version="auto", timeout=SILENCE_SECONDS, **settings)
    except (DockerException, OSError) as exc:
        message = (
            f"no Docker engine answers at {address}: {exc}. "
            "Is it running, and may this user reach it (docker version)?"
        )
        raise EngineError(message) from exc
    client.hooks["response"].append(cancellation.watch)
    return client


def _context() -> dict[str, Any]:
    """Return how to reach the engine of the context in use; nothing for the default one."""
    name = os.environ.get("DOCKER_CONTEXT") or get_current_context_name()
    return {} if name == "default" else {**ContextAPI.kwargs_from_context(name)}


def _local_socket() -> str:
    """Find the system's socket, or else Docker Desktop's in the user's home."""
    system = Path("/var/run/docker.sock")
    if not system.exists():
        for name in _DESKTOP_SOCKETS:
            if (Path.home() / name).exists():
                return f"unix://{Path.home() / name}"
    return f"unix://{system}"
