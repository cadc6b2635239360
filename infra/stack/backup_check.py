"""Checks the backups on the first manager: before a deployment, and their status.

Both run programs of the database's image (``images/postgres``).
"""

from __future__ import annotations

import base64
from shlex import quote
from typing import TYPE_CHECKING, Any

from infra.remote.runner import RemoteError
from infra.stack import engine
from infra.stack.errors import StackError
from infra.stack.services import file_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.remote.runner import Runner
    from infra.stack.engine import Login
    from infra.stack.render import RenderedStack

DATABASE = "postgres"
BACKUP = "backup"
PROBLEM = "PROBLEM: "
"""Prefix of a status line that reports a problem."""

REFUSED = 1
"""Exit status of a check that found a problem; docker's own failures have other statuses."""

_CHECK_TIMEOUT_SECONDS = 900.0
_STATUS_TIMEOUT_SECONDS = 120.0
_VOLUMES = {"postgres": "/var/lib/postgresql/data", "backups": "/var/lib/pgbackrest"}
_RECEIVE_SECRETS = (
    "umask 077; mkdir /dev/shm/secrets;"
    ' while read -r name value; do printf %s "$value" | base64 -d > "/dev/shm/secrets/$name"; done;'
    " SECRETS=/dev/shm/secrets exec /opt/dairflow/entrypoint.sh check-backups"
)


def is_due(rendered: RenderedStack, previous: RenderedStack | None) -> bool:
    """Whether the backup configuration of the database's service has changed."""
    if DATABASE not in rendered.document["services"]:
        return False
    return previous is None or _about_backups(rendered) != _about_backups(previous)


def check(
    runner: Runner,
    rendered: RenderedStack,
    secrets: Mapping[str, str],
    *,
    login: Login | None,
) -> None:
    """Check that the data, the repository and ``restoreFrom`` match. Changes nothing.

    Only existing volumes are mounted: a volume that the check created would not belong to the
    stack.

    Raises:
        StackError: with the image's own message.
        RemoteError: if the manager cannot be reached.

    """
    service = rendered.document["services"][DATABASE]
    environment = " ".join(
        f"--env {quote(f'{name}={_unescaped(value)}')}"
        for name, value in sorted(service.get("environment", {}).items())
    )
    volumes = " ".join(
        f"$(docker volume inspect {quote(volume)} >/dev/null 2>&1"
        f" && echo --volume {quote(f'{volume}:{place}')})"
        for volume, place in (
            (f"{rendered.name}_{kind}", place) for kind, place in _VOLUMES.items()
        )
    )
    answer = engine.docker(
        runner,
        "run --rm --quiet --interactive --read-only --cap-drop ALL --tmpfs /tmp --log-driver none"
        f" {environment} {volumes} --entrypoint bash {quote(service['image'])}"
        f" -c {quote(_RECEIVE_SECRETS)}",
        stdin=_lines({name: secrets[name] for name in file_sources(service, "secrets")}),
        login=login,
        timeout=_CHECK_TIMEOUT_SECONDS,
        check=False,
    )
    if answer.exit_status == 0:
        return
    message = answer.stderr.strip()
    if answer.exit_status != REFUSED:
        message = f"The backups could not be checked, and nothing was deployed: {message}"
    msg = f"{runner.machine}: {message}"
    raise StackError(msg)


def problems(runner: Runner, rendered: RenderedStack) -> list[str]:
    """Return the problems of the backups; empty if backups are disabled.

    Raises:
        RemoteError: if the manager cannot be reached.

    """
    service = rendered.document["services"].get(BACKUP, {})
    if not service.get("deploy", {}).get("replicas"):
        return []
    container = engine.container_of(runner, rendered.name, [BACKUP])
    if container is None:
        return [f"no backups are made: the service {rendered.name}_{BACKUP} does not run"]
    answer = runner.run(
        f"docker exec {quote(container)} /opt/dairflow/backup_status.sh",
        timeout=_STATUS_TIMEOUT_SECONDS,
        check=False,
    )
    lines = answer.stdout.splitlines()
    return [line.removeprefix(PROBLEM) for line in lines if line.startswith(PROBLEM)]


def report_problems(runner: Runner, rendered: RenderedStack, report: Callable[[str], None]) -> None:
    """Report a line for each problem of the backups."""
    try:
        found = problems(runner, rendered)
    except RemoteError as error:
        found = [f"their status is unknown: {error.answer}"]
    for problem in found:
        report(f"warning: backups: {problem}")


def _about_backups(rendered: RenderedStack) -> object:
    service: Mapping[str, Any] = rendered.document["services"].get(DATABASE, {})
    names = {name: rendered.secrets.get(name) for name in file_sources(service, "secrets")}
    backups = {name: value for name, value in names.items() if name.startswith(BACKUP)}
    return service.get("environment"), backups


def _unescaped(value: object) -> str:
    """Undo a compose file's escape of a dollar sign."""
    return str(value).replace("$$", "$")


def _lines(secrets: Mapping[str, str]) -> bytes:
    lines = (
        f"{name} {base64.b64encode(value.encode()).decode()}\n" for name, value in secrets.items()
    )
    return "".join(lines).encode()
