"""Restores a machine that remains to its original state, by an idempotent script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.images import registry
from infra.remote.script import script
from infra.swarm.commands import CLEAN_MACHINE, PURGE_SECONDS, REMOVE_ENGINE, STATE_FOLDER
from infra.swarm.facts import TRUST_MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from infra.remote.runner import Runner

RELEASE_SECONDS = PURGE_SECONDS + 300.0
DISK_LOST = (
    "If its disk is lost, so is the database: `pulumi destroy` and `pulumi up` recreate the"
    " cluster, on which you can restore a backup of the database."
)


@dataclass(frozen=True, kw_only=True)
class Release:
    """What to remove from a machine that leaves.

    ``stack`` is the name of the stack whose volumes are removed. With ``remove_engine``, the
    packages that were installed for the cluster are removed too, with the engine and its data.
    """

    stack: str
    remove_engine: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types for a resource's state."""
        return {"stack": self.stack, "remove_engine": self.remove_engine}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Release:
        """Return the release from the result of `to_dict`."""
        return cls(stack=data["stack"], remove_engine=bool(data["remove_engine"]))

    @property
    def script(self) -> str:
        """The script for a machine that has left its swarm."""
        return "\n".join(
            (
                "# restore the machine",
                script(
                    "swarm/scripts/empty_engine.sh",
                    STACK=self.stack,
                    REGISTRY=registry.CONTAINER,
                    REGISTRY_VOLUME=registry.VOLUME,
                    REGISTRY_REPOSITORY=registry.REPOSITORY,
                    TRUST_MARK=TRUST_MARK,
                ),
                CLEAN_MACHINE,
                REMOVE_ENGINE if self.remove_engine else "",
                f"rm -rf {STATE_FOLDER}",
            )
        )


def recovery_hint(unreachable: Collection[str], first_manager: str) -> str:
    """Return a hint on how to continue without the ``unreachable`` hosts, at least one."""
    lines: list[str] = []
    if first_manager in unreachable:
        lines.append(
            f"{first_manager} is the first manager. After the cluster has run, its disk has the"
            " database and the registry, and you cannot remove it from `hosts`: start it again."
            f" {DISK_LOST}"
        )
    if any(name != first_manager for name in unreachable):
        lines.append(
            f"{'Another' if lines else 'A'} host that is lost: remove it from `hosts` and run"
            " `pulumi up`, which removes it from the swarm through a manager."
        )
    return "\n".join(lines)


def clean(runner: Runner, release: Release | None, report: Callable[[str], None]) -> None:
    """Remove the firewall and our files from a machine that has left; everything if it remains.

    Raises:
        RemoteError: if a command failed.

    """
    if release is None:
        runner.run(CLEAN_MACHINE)
        return
    output = runner.run(release.script, timeout=RELEASE_SECONDS).stdout.strip()
    if output:
        report(f"{runner.machine.name}: {output}")
