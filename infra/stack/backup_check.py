"""Ask the first manager about the backups: before a deployment whether it can be, and how they are.

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
"""How a line of the status begins that reports what is wrong."""

REFUSED = 1
"""Exit status of a check that found something wrong; docker's own failures have others."""

_CHECK_TIMEOUT_SECONDS = 900.0
_STATUS_TIMEOUT_SECONDS = 120.0
_VOLUMES = {"postgres": "/var/lib/postgresql/data", "backups": "/var/lib/pgbackrest"}
_RECEIVE_SECRETS = (
    "umask 077; mkdir /dev/shm/secrets;"
    ' while read -r name value; do printf %s "$value" | base64 -d > "/dev/shm/secrets/$name"; done;'
    " SECRETS=/dev/shm/secrets exec /opt/dairflow/entrypoint.sh check-backups"
)


def is_due(rendered: RenderedStack, previous: RenderedStack | None) -> bool:
    """Whether what the database's service gets to know about backups is new."""
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
    """Check that the data, the repository and ``restoreFrom`` go together. Changes nothing.

    Only volumes that exist are mounted: one that a check made would not be the stack's.

    Raises:
        StackError: with the image's own explanation.
        RemoteError: when the manager cannot be reached.

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
    said = answer.stderr.strip()
    if answer.exit_status != REFUSED:
        said = f"The backups could not be checked, and nothing was deployed: {said}"
    msg = f"{runner.machine}: {said}"
    raise StackError(msg)


def problems(runner: Runner, rendered: RenderedStack) -> list[str]:
    """Return what is wrong with the backups; nothing if none are wanted.

    Raises:
        RemoteError: when the manager cannot be reached.

    """
    service = rendered.document["services"].get(BACKUP, {})
    if not service.get("deploy", {}).get("replicas"):
        return []
    container = engine.container_of(runner, rendered.name, [BACKUP])
    if container is None:
        return [f"nothing makes them: the service {rendered.name}_{BACKUP} does not run"]
    answer = runner.run(
        f"docker exec {quote(container)} /opt/dairflow/backup_status.sh",
        timeout=_STATUS_TIMEOUT_SECONDS,
        check=False,
    )
    lines = answer.stdout.splitlines()
    return [line.removeprefix(PROBLEM) for line in lines if line.startswith(PROBLEM)]


def report_problems(runner: Runner, rendered: RenderedStack, report: Callable[[str], None]) -> None:
    """Report a line for each thing that is wrong with the backups."""
    try:
        found = problems(runner, rendered)
    except RemoteError as error:
        found = [f"how they are is not known: {error.answer}"]
    for problem in found:
        report(f"warning: backups: {problem}")


def _about_backups(rendered: RenderedStack) -> object:
    service: Mapping[str, Any] = rendered.document["services"].get(DATABASE, {})
    names = {name: rendered.secrets.get(name) for name in file_sources(service, "secrets")}
    backups = {name: value for name, value in names.items() if name.startswith(BACKUP)}
    return service.get("environment"), backups


def _unescaped(value: object) -> str:
    """Undo what a compose file needs for a dollar."""
    return str(value).replace("$$", "$")


def _lines(secrets: Mapping[str, str]) -> bytes:
    lines = (
        f"{name} {base64.b64encode(value.encode()).decode()}\n" for name, value in secrets.items()
    )
    return "".join(lines).encode()
