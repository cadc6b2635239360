"""The Python packages of one target: in a folder that only programs with that target look into.

Pulumi lists the packages of the environment and gets the plugin of each, whether the program uses
it or not (ADR 7).
"""

from __future__ import annotations

import sys
from pathlib import Path

from infra.errors import UserError


class TargetPackagesError(UserError):
    """The target's packages are not installed; says what to do."""


def folder(target: str) -> Path:
    """Return where set-up puts a target's packages."""
    return Path(sys.prefix) / "targets" / target


def use(target: str) -> None:
    """Let imports find a target's packages from now on, after everything else.

    Raises:
        TargetPackagesError: set-up has not put them there.

    """
    found = folder(target)
    if not found.is_dir():
        msg = f"The packages of `target: {target}` are not in {found}. Run `make setup`."
        raise TargetPackagesError(msg)
    if str(found) not in sys.path:
        sys.path.append(str(found))
