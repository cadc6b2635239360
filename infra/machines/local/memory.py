"""Whether this machine has the memory that the services of a local cluster reserve."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from infra.errors import UserError
from infra.stack.memory import MachineMemory, problems_of_one

if TYPE_CHECKING:
    from infra.stack.memory import Needs


class LocalMemoryError(UserError):
    """Memory that this machine does not have; the text has the figures."""


def check(needed: Needs) -> None:
    """Compare what the services reserve with the memory of this machine's Docker.

    Raises:
        LocalMemoryError: it has less.

    """
    size = _docker_bytes()
    if size is None:
        return  # the first step of the deployment reports that Docker does not answer
    found = list(problems_of_one(needed, MachineMemory(name="this machine", size=size)))
    if found:
        raise LocalMemoryError("\n".join([*found, "Nothing was created or changed."]))


def _docker_bytes() -> int | None:
    """Return the memory of the engine's machine: on Linux this one, elsewhere a virtual one."""
    if sys.platform == "linux":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    from infra.images.engine import EngineError, engine  # noqa: PLC0415 - slow to import

    try:
        with engine() as client:
            return int(client.info()["MemTotal"])
    except EngineError:
        return None
