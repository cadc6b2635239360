"""``python -m airflow_env conda|pip|lock``: the steps of the image's build, and ``make lock``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_env import steps
from airflow_env.errors import BuildError
from airflow_env.prefix import Prefix

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one step; return the exit status."""
    parser = argparse.ArgumentParser(prog="airflow_env", description=__doc__)
    parser.add_argument(
        "--sources", type=Path, default=Path.cwd(), help="folder of the requirement files"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("conda", "pip"):
        command = commands.add_parser(name, help=f"make {name}'s part of the environment PREFIX")
        command.add_argument("prefix", type=Path)
        if name == "pip":
            command.add_argument("layers", type=Path, help="folder to lay the layers out in")
    command = commands.add_parser("lock", help="write the lock files")
    command.add_argument("--upgrade", action="store_true", help="forget the locked versions")
    options = parser.parse_args(arguments)
    sources = steps.Sources(folder=options.sources, channels=os.environ.get("CONDA_CHANNELS", ""))
    try:
        match options.command:
            case "conda":
                steps.make_conda_part(sources, Prefix(path=options.prefix))
            case "pip":
                steps.make_pip_part(sources, Prefix(path=options.prefix), options.layers)
            case _:
                steps.lock(sources, upgrade=options.upgrade)
    except BuildError as error:
        print(f"✗ airflow_env: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
