"""Python packages of one target, in a folder that only programs with that target use.

Pulumi lists the packages of the environment and downloads the plugin of each, even if the program
does not use it (ADR 7).
"""

from __future__ import annotations

import sys
from pathlib import Path

from infra.errors import UserError


class TargetPackagesError(UserError):
    """The target's packages are not installed; the message has the next step."""


def folder(target: str) -> Path:
    """Return the folder in which set-up installs a target's packages."""
    return Path(sys.prefix) / "targets" / target


def use(target: str) -> None:
    """Append a target's packages to the import path.

    Raises:
        TargetPackagesError: if set-up has not installed them.

    """
    found = folder(target)
    if not found.is_dir():
        msg = f"The packages of `target: {target}` are not in {found}. Run `make setup`."
        raise TargetPackagesError(msg)
    if str(found) not in sys.path:
        sys.path.append(str(found))
