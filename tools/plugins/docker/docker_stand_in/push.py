"""Pushing an image, and the digest under which the registry has it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from docker.errors import DockerException
from docker.utils import parse_repository_tag
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from .cancellation import Cancellation, Cancelled
from .errors import EngineError, explain
from .inputs import registry_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import docker

_REPORT_SECONDS = 0.5
_STORED = ("Pushed", "Layer already exists", "Already exists", "Mounted from ")
_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")
_HINTS = {
    "unauthorized": "The registry did not accept the login: see registry.username and password.",
    "no basic auth credentials": "The registry needs a login: set registry.username and password.",
    "denied": "The account may not push there.",
    "server gave http response to https client": "The registry has no TLS. Docker pushes without "
    "TLS to loopback addresses and to the engine's insecure-registries only.",
    "x509": "The engine does not trust the registry's certificate: its CA belongs in the engine's "
    "/etc/docker/certs.d/<host:port>/ca.crt.",
    "connection refused": "No registry answers there: is it running, and is the address that of "
    "the engine's own side?",
}


@dataclass(frozen=True, kw_only=True)
class Login:
    """Who pushes. The password stays out of ``repr``."""

    username: str
    password: str = field(repr=False)
    server: str

    def to_auth_config(self) -> dict[str, str]:
        """Put it into the form that Docker's API takes."""
        return {
            "username": self.username,
            "password": self.password,
            "serveraddress": self.server,
        }


def push(
    client: docker.APIClient,
    image_name: str,
    login: Login | None,
    report: Callable[[str], None],
    cancellation: Cancellation,
) -> str:
    """Push the image and return ``repository@sha256:…``.

    The digest is the one that this push reported (not the engine's list of digests, which can be
    stale: pulumi-docker#778), and the registry is asked whether it has it.

    Without a login, that of Docker's own configuration file is used.

    Raises:
        EngineError: naming the registry and its answer.
        Cancelled: the engine asked for work in flight to end.

    """
    repository, tag = parse_repository_tag(image_name)
    auth = login.to_auth_config() if login else None
    progress = _Progress(image_name, report)
    digest: str | None = None
    try:
        messages = cast(
            "Iterable[dict[str, Any]]",
            client.push(  # pyright: ignore[reportUnknownMemberType]
                repository, tag or "latest", stream=True, decode=True, auth_config=auth
            ),
        )
        for message in messages:
            cancellation.check()
            if "error" in message:
                raise _failed(image_name, login, str(message["error"]))
            digest = reported_digest(message) or digest
            progress.add(message)
        cancellation.check()
        if digest is None:
            raise _failed(image_name, login, "the engine ended its answer without a digest")
        report("Asking the registry for the digest")
        client.inspect_distribution(  # pyright: ignore[reportUnknownMemberType]
            f"{repository}@{digest}", auth_config=auth
        )
    except (DockerException, RequestException, HTTPError, OSError) as exc:
        if cancellation.asked:
            raise Cancelled from exc
        raise _failed(image_name, login, explain(exc)) from exc
    return f"{repository}@{digest}"


def reported_digest(message: Mapping[str, Any]) -> str:
    """Return the digest that a message of a push reports, ``sha256:…``; most report none.

    It is in the line that ends the push: an engine with containerd's image store sends nothing
    else of it.
    """
    found = _DIGEST.search(str(message.get("status", "")))
    return found[1] if found else ""


def _failed(image_name: str, login: Login | None, answer: str) -> EngineError:
    who = f"as {login.username!r}" if login else "with the login of Docker's configuration"
    hint = next((text for sign, text in _HINTS.items() if sign in answer.lower()), "")
    return EngineError(
        f"pushing {image_name} to {registry_of(image_name)} {who} failed: {answer.strip()}"
        + (f"\n{hint}" if hint else "")
        + "\nThe image itself is built and cached: the next update only pushes."
    )


class _Progress:
    """One line for all layers: how many are stored, how much was sent."""

    def __init__(self, image_name: str, report: Callable[[str], None]) -> None:
        self._image_name = image_name
        self._report = report
        self._states: dict[str, str] = {}
        self._sent: dict[str, int] = {}
        self._next_report = 0.0

    def add(self, message: Mapping[str, Any]) -> None:
        layer, status = message.get("id"), message.get("status")
        if layer is None or status is None:
            return
        self._states[layer] = str(status)
        self._sent[layer] = message.get("progressDetail", {}).get("current", 0) or self._sent.get(
            layer, 0
        )
        now = time.monotonic()
        stored = sum(state.startswith(_STORED) for state in self._states.values())
        if now >= self._next_report or stored == len(self._states):
            self._next_report = now + _REPORT_SECONDS
            self._report(
                f"Pushing {self._image_name}: {stored} of {len(self._states)} layers stored, "
                f"{sum(self._sent.values()) / 1e6:.1f} MB sent"
            )
