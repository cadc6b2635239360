"""What the node containers use of this machine's memory, as their own cgroup counts it.

Docker's statistics are not asked: the engine leaves the memory out of them as soon as a process is
in a cgroup hierarchy of version 1 that this machine does not mount.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from docker.models.containers import Container

# In version 1 a node sees this machine's whole tree; in version 2 its own part as if it were all.
_READ = """cd /sys/fs/cgroup || exit
if [ -e memory.current ]
then exec cat memory.current memory.stat
fi
own=$(awk -F: '$2 ~ /(^|,)memory(,|$)/ { print $3 }' /proc/1/cgroup)
cd "memory$own" && exec cat memory.usage_in_bytes memory.stat"""


class MemoryUnknownError(Exception):
    """The memory cannot be read; the text says whose, and what was seen in its place."""


def memory_of(nodes: Iterable[Container]) -> int:
    """Return the bytes that running nodes use together, without file pages that nobody used lately.

    Raises:
        MemoryUnknownError: for a node whose cgroup cannot be read, or without any node.

    """
    used = [_of_one(node) for node in nodes]
    if not used:
        message = "no node runs"
        raise MemoryUnknownError(message)
    return sum(used)


def _of_one(node: Container) -> int:
    code, output = node.exec_run(["sh", "-c", _READ])
    text: str = output.decode(errors="replace")
    try:
        return used_bytes(text)
    except (ValueError, KeyError) as exc:
        message = f"{node.name}: its memory cgroup cannot be read (status {code}): {text[:300]}"
        raise MemoryUnknownError(message) from exc


def used_bytes(text: str) -> int:
    """Read a cgroup's usage (bytes) and, on the lines that follow, its ``memory.stat``.

    Version 1 counts a cgroup's own pages apart from those of the cgroups below it, ``total_…``.

    Raises:
        ValueError, KeyError: when the text is something else.

    """
    usage, *lines = text.splitlines()
    counted = dict(line.split() for line in lines)
    inactive = counted.get("total_inactive_file") or counted["inactive_file"]
    return int(usage) - int(inactive)
