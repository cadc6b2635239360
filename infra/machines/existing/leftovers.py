"""What another stack left on a host: volumes that ours would take for its own; no I/O.

A volume is found by its name alone. Ours would begin on the other's database, for which it has
neither the passwords nor the key that its secrets are encrypted with.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.project import STACK_NAME
from infra.swarm.commands import STATE_FOLDER

LEAVE_FILE = f"{STATE_FOLDER}/leave"
"""A script on every host by which it lets itself go, for who cannot reach it from here."""

# An engine that does not run cannot be asked, and finds its volumes again when it is started.
SCRIPT = f"""# look for volumes of another stack called {STACK_NAME}
[ ! -e {LEAVE_FILE} ] || echo leave
if command -v docker > /dev/null && docker info > /dev/null 2>&1; then
    docker volume ls --format 'volume {{{{.Name}}}}'
else
    ls /var/lib/docker/volumes 2> /dev/null | sed 's/^/volume /'
fi
"""


@dataclass(frozen=True, kw_only=True)
class Leftovers:
    """The volumes' names, and whether the script is there that takes them away."""

    volumes: tuple[str, ...] = ()
    can_leave: bool = False

    @property
    def next_step(self) -> str:
        """What to do about them; names of volumes need no quoting in a shell."""
        remove = f"`docker volume rm {' '.join(self.volumes)}`"
        if self.can_leave:
            remove = f"`sh {LEAVE_FILE}`, which takes away all of the stack that made them,"
        return (
            f"if nothing in them is needed, run {remove} there as root; else take the host out of"
            " the list"
        )


def parse(text: str) -> Leftovers:
    """Read what `SCRIPT` printed."""
    words = [line.partition(" ") for line in text.splitlines()]
    return Leftovers(
        volumes=tuple(
            name
            for word, _, name in words
            if word == "volume" and name.startswith(f"{STACK_NAME}_")
        ),
        can_leave=any(word == "leave" for word, _, _ in words),
    )
