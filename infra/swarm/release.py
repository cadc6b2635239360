"""Leave a machine that stays as it was found: a script, which may run any number of times."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any

from infra import registry
from infra.swarm.commands import CLEAN_MACHINE, PURGE_SECONDS, REMOVE_ENGINE, STATE_FOLDER
from infra.swarm.facts import TRUST_MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from infra.remote.runner import Runner

RELEASE_SECONDS = PURGE_SECONDS + 300.0
DISK_LOST = (
    "If its disk is lost, so is the database: `pulumi destroy` and `pulumi up` make the cluster"
    " anew, into which a backup of the database, if you have one, can be restored."
)


@dataclass(frozen=True, kw_only=True)
class Release:
    """What is to go from a machine that leaves.

    ``stack`` is the name whose volumes go. With ``remove_engine``, the packages go that were
    installed for the cluster, and with them the engine and all that it keeps.
    """

    stack: str
    remove_engine: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, as a resource's state keeps them."""
        return {"stack": self.stack, "remove_engine": self.remove_engine}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Release:
        """Read what `to_dict` wrote."""
        return cls(stack=data["stack"], remove_engine=bool(data["remove_engine"]))

    @property
    def script(self) -> str:
        """What a machine runs that has left its swarm."""
        return "\n".join(
            (
                "# leave the machine as it was found",
                _EMPTY_ENGINE.replace("STACK", quote(self.stack)),
                CLEAN_MACHINE,
                REMOVE_ENGINE if self.remove_engine else "",
                f"rm -rf {STATE_FOLDER}",
            )
        )


def way_on(silent: Collection[str], first_manager: str) -> str:
    """Say how to get on without hosts that do not answer: by their names, one at least."""
    lines: list[str] = []
    if first_manager in silent:
        lines.append(
            f"{first_manager} is the first manager. Once the cluster has run, its disk holds the"
            " database and the registry, and it cannot be taken out of `hosts`: start it again."
            f" {DISK_LOST}"
        )
    if any(name != first_manager for name in silent):
        lines.append(
            f"{'Another' if lines else 'A'} host that will not come back: take it out of `hosts`"
            " and run `pulumi up`, which removes it from the swarm by way of a manager."
        )
    return "\n".join(lines)


def clean(runner: Runner, release: Release | None, report: Callable[[str], None]) -> None:
    """Remove what is ours from a machine that has left; all of it where it stays.

    Raises:
        RemoteError: a command failed.

    """
    if release is None:
        runner.run(CLEAN_MACHINE)
        return
    said = runner.run(release.script, timeout=RELEASE_SECONDS).stdout.strip()
    if said:
        report(f"{runner.machine.name}: {said}")


# Images are the registry's if their name begins with it; the engine keeps them by digest.
_EMPTY_ENGINE = f"""set -e
if command -v docker > /dev/null && docker info > /dev/null 2>&1; then
    label=label=com.docker.stack.namespace=STACK
    containers=$(docker ps -aq --filter $label)
    [ -z "$containers" ] || docker rm -f -v $containers > /dev/null
    docker rm -f -v {registry.CONTAINER} > /dev/null 2>&1 || true
    volumes=$(docker volume ls -q --filter $label)
    [ -z "$volumes" ] || docker volume rm $volumes > /dev/null
    docker volume rm -f {registry.VOLUME} > /dev/null 2>&1 || true
    docker network rm docker_gwbridge > /dev/null 2>&1 || true
    for file in $(grep -lsx {quote(TRUST_MARK)} /etc/docker/certs.d/*/ca.crt); do
        folder=${{file%/*}}
        images=$(docker image ls -q --filter "reference=${{folder##*/}}/*" | sort -u)
        [ -z "$images" ] || docker image rm -f $images > /dev/null
    done
    images=$(docker image ls -q --filter 'reference={registry.REPOSITORY}:*' | sort -u)
    [ -z "$images" ] || docker image rm -f $images > /dev/null
fi
"""
