"""The connection to Docker's engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import docker
from docker.errors import DockerException
from docker.utils import kwargs_from_env
from requests.exceptions import Timeout
from urllib3.exceptions import TimeoutError as HTTPTimeoutError

if TYPE_CHECKING:
    from .cancellation import Cancellation

_SILENCE_SECONDS = 30 * 60
"""How long a build step may say nothing: package installers and compilers can be quiet."""

_DESKTOP_SOCKETS = (".docker/run/docker.sock", ".docker/desktop/docker.sock")


class EngineError(Exception):
    """Docker's engine, or a registry through it, refused or failed; the text is for the user."""


def connect(host: str | None, cancellation: Cancellation) -> docker.APIClient:
    """Connect to the given engine, or to that of ``DOCKER_HOST``, or to this machine's own.

    Every read waits at most half an hour.

    Raises:
        EngineError: no engine answers there.

    """
    settings = kwargs_from_env()
    address = host or settings.get("base_url") or _local_socket()
    settings["base_url"] = address
    try:
        client = docker.APIClient(version="auto", timeout=_SILENCE_SECONDS, **settings)
    except (DockerException, OSError) as exc:
        message = (
            f"no Docker engine answers at {address}: {exc}. "
            "Is it running, and may this user reach it (docker version)?"
        )
        raise EngineError(message) from exc
    client.hooks["response"].append(cancellation.watch)
    return client


def _local_socket() -> str:
    """Find the system's socket, or else Docker Desktop's in the user's home."""
    system = Path("/var/run/docker.sock")
    if not system.exists():
        for name in _DESKTOP_SOCKETS:
            if (Path.home() / name).exists():
                return f"unix://{Path.home() / name}"
    return f"unix://{system}"


def explain(exc: Exception) -> str:
    """Say what went wrong on the way to the engine or in it, without the request itself.

    The text of the exceptions holds the request's address, and a build's address holds its
    arguments.
    """
    explanation = getattr(exc, "explanation", None)
    if explanation:
        return str(explanation).strip()
    if isinstance(exc, (Timeout, TimeoutError, HTTPTimeoutError)):
        return f"nothing was heard of it for {_SILENCE_SECONDS // 60} minutes"
    if isinstance(exc, OSError) and exc.filename:
        return f"{exc.filename}: {exc.strerror}"
    return f"the connection to Docker's engine was lost ({type(exc).__name__})"
