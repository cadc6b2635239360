"""Rotates secrets without an outage: servers and readers accept both values until one is unused.

A rotation deploys twice. In between, Redis accepts both passwords, Airflow can decrypt with either
Fernet key, and the API server and PgBouncer accept both values (of tokens' keys, and of the
warehouse's password), while all others still use the old one; workers that finish their tasks have
the old values until they end. Then stored values are encrypted again, and the second deployment
removes the old values, except those of `infra.stack.secrets.RETIRED`. All other secrets have one
value at a time: docs/secrets.md describes each rotation.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from infra.stack import engine
from infra.stack.errors import StackError
from infra.stack.render import accepted_by, file_reference
from infra.stack.secrets import (
    FERNET_KEY,
    NAMING_KEY,
    NEXT,
    RETIRED_FERNET_KEYS,
    hashed_name,
)
from infra.stack.services import file_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.remote.runner import Runner
    from infra.stack.deploy import StackState
    from infra.stack.render import RenderedStack

REDIS_PASSWORD = "redis_password"  # noqa: S105 - its name
PREVIOUS_REDIS_PASSWORD = "redis_password_previous"  # noqa: S105 - its name
REDIS = "redis"


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """The stack of the first deployment, with the values of its secrets."""

    rendered: RenderedStack
    secrets: Mapping[str, str] = field(repr=False)


def overlap(
    rendered: RenderedStack, secrets: Mapping[str, str], previous: Mapping[str, str]
) -> Overlap | None:
    """Return the stack to deploy first, or None if no secret that overlaps has changed.

    ``secrets`` are the new values, ``previous`` those of the last deployment. Pure.
    """
    document = copy.deepcopy(rendered.document)
    values, names = dict(secrets), dict(rendered.secrets)

    def deliver(logical: str, value: str) -> None:
        values[logical] = value
        names[logical] = hashed_name(rendered.name, logical, value, secrets[NAMING_KEY])
        document["secrets"][logical] = {"external": True, "name": names[logical]}

    if REDIS in document["services"] and _changed(REDIS_PASSWORD, secrets, previous):
        deliver(PREVIOUS_REDIS_PASSWORD, previous[REDIS_PASSWORD])
        _mount(document["services"][REDIS], PREVIOUS_REDIS_PASSWORD)
    if _changed(FERNET_KEY, secrets, previous):
        keys = [secrets[FERNET_KEY], previous[FERNET_KEY], secrets.get(RETIRED_FERNET_KEYS, "")]
        every = dict.fromkeys(filter(None, ",".join(keys).split(",")))
        deliver(FERNET_KEY, ",".join(every))
    for name, coming in NEXT.items():
        if _changed(name, secrets, previous):
            deliver(name, previous[name])
            deliver(coming, secrets[name])
            for service in document["services"].values():
                if name in accepted_by(service):
                    _mount(service, coming)
    if values == dict(secrets):
        return None
    return Overlap(rendered=replace(rendered, document=document, secrets=names), secrets=values)


def deploy_rotating(
    runner: Runner,
    rendered: RenderedStack,
    secrets: Mapping[str, str],
    previous: Mapping[str, str],
    *,
    bring_up: Callable[[RenderedStack, Mapping[str, str]], StackState],
    report: Callable[[str], None],
) -> StackState:
    """Deploy with ``bring_up``: once, or twice if a secret that overlaps has changed.

    An interrupted rotation is repeated from the start, since ``previous`` has not changed.

    Raises:
        StackError: see `infra.stack.deploy.deploy` and `encrypt_again`.
        RemoteError: see there.

    """
    if both := overlap(rendered, secrets, previous):
        report("secrets are rotated: the old and the new values are accepted")
        bring_up(both.rendered, both.secrets)
        if _changed(FERNET_KEY, secrets, previous):
            encrypt_again(runner, both.rendered, report=report)
        report("secrets are rotated: only the new values are accepted")
    return bring_up(rendered, secrets)


def encrypt_again(
    runner: Runner, rendered: RenderedStack, *, report: Callable[[str], None]
) -> None:
    """Encrypt connections and variables with the newest key, in a container that has all keys.

    Raises:
        StackError: if the manager does not run such a container.
        RemoteError: if the command fails.

    """
    services = _users(rendered.document, FERNET_KEY)
    container = engine.container_of(runner, rendered.name, list(services))
    if container is None:
        msg = (
            f"{runner.machine}: runs none of {', '.join(sorted(services))}, so values cannot be"
            " encrypted with the new Fernet key. Both keys are in use, and no data is lost.\n"
            "Next: run `pulumi up` again when one of them runs there."
        )
        raise StackError(msg)
    report("connections and variables are encrypted with the new Fernet key")
    engine.rotate_fernet_key(runner, container)


def _users(document: Mapping[str, Any], secret: str) -> dict[str, dict[str, Any]]:
    return {
        name: service
        for name, service in document["services"].items()
        if secret in file_sources(service, "secrets")
    }


def _mount(service: dict[str, Any], secret: str) -> None:
    service["secrets"].append(file_reference(secret, "secrets"))


def _changed(name: str, secrets: Mapping[str, str], previous: Mapping[str, str]) -> bool:
    return bool(previous.get(name)) and previous[name] != secrets.get(name)
