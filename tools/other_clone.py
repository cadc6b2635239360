"""What `env.sh` of another clone left in the shell that set-up is started from.

`env.sh` itself takes it away in the shell that sources it; set-up runs before that.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

ROOT = "DAIRFLOW_ROOT"
PROGRAMS = (".venv/bin", ".dairflow/bin")
OWN = {
    "PULUMI_CONFIG_PASSPHRASE_FILE": ".dairflow/passphrase",
    "PULUMI_HOME": ".dairflow/pulumi",
    "PULUMI_PYTHON_CMD": ".venv/bin/python",
}
"""Variable → the value that a clone gives it, below the clone's folder."""


def leave(environment: MutableMapping[str, str], repository: Path) -> None:
    """Remove another clone's programs and settings; those of the user's own stay."""
    other = environment.get(ROOT, "")
    if not other or other == str(repository):
        return
    theirs = {f"{other}/{folder}" for folder in PROGRAMS}
    folders = environment.get("PATH", "").split(os.pathsep)
    environment["PATH"] = os.pathsep.join(each for each in folders if each not in theirs)
    for name, below in OWN.items():
        if environment.get(name) == f"{other}/{below}":
            del environment[name]
    del environment[ROOT]
