"""Detects orphaned volumes of another stack on a host, which ours would adopt; no I/O.

Docker finds a volume by its name alone. Our stack would start on the other stack's database,
without its passwords and the key that encrypts its secrets.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.project import STACK_NAME
from infra.remote.script import script
from infra.swarm.commands import STATE_FOLDER

LEAVE_FILE = f"{STATE_FOLDER}/leave"
"""A script on every host that releases it, for use on its console if it cannot be reached."""

SCRIPT = script("machines/existing/scripts/list_orphans.sh", LEAVE_FILE=LEAVE_FILE)


@dataclass(frozen=True, kw_only=True)
class Orphans:
    """The names of orphaned volumes, and whether the host has the script that removes them."""

    volumes: tuple[str, ...] = ()
    can_leave: bool = False

    @property
    def next_step(self) -> str:
        """What to do about them; names of volumes do not need quoting in a shell."""
        remove = f"`docker volume rm {' '.join(self.volumes)}`"
        if self.can_leave:
            remove = f"`sh {LEAVE_FILE}`, which removes everything of the stack that made them,"
        return (
            f"if you do not need their data, run {remove} there as root; otherwise remove the host"
            " from the list"
        )


def parse(text: str) -> Orphans:
    """Read what `SCRIPT` printed."""
    words = [line.partition(" ") for line in text.splitlines()]
    return Orphans(
        volumes=tuple(
            name
            for word, _, name in words
            if word == "volume" and name.startswith(f"{STACK_NAME}_")
        ),
        can_leave=any(word == "leave" for word, _, _ in words),
    )
