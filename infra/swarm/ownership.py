"""Records which resource owns an object on a swarm, so that a delete keeps adopted objects.

A resource saves its identity as a config object of the swarm: it is on every manager, outlives
machines and containers, and is deleted with the swarm.
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.remote.runner import Runner

_PREFIX = "dairflow-owner"


def claim(runner: Runner, kind: str, owner: str) -> None:
    """Record on a manager that ``owner`` owns the object of this kind, and nobody else.

    Raises:
        RemoteError: if the command failed.

    """
    name, former = quote(f"{_PREFIX}.{kind}.{owner}"), quote(f"{_PREFIX}.{kind}.")
    runner.run(
        f"# record which resource owns the {kind}\n"
        f"docker config inspect {name} > /dev/null 2>&1 ||"
        f" printf %s {quote(owner)} | docker config create {name} - > /dev/null || exit 1\n"
        f"docker config ls --format '{{{{.Name}}}}' --filter name={former} | grep -vxF {name}"
        " | xargs -r docker config rm > /dev/null"
    )


def owner_of(runner: Runner, kind: str) -> str:
    """Return the owner of the object of this kind; empty if unknown, or if no manager answers."""
    prefix = f"{_PREFIX}.{kind}."
    answer = runner.run(
        f"docker config ls --format '{{{{.Name}}}}' --filter name={quote(prefix)}", check=False
    )
    owners = [line.removeprefix(prefix) for line in answer.stdout.split()]
    return owners[0] if owners else ""
