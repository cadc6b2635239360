"""`python -m tools.build_image`: build an image as `pulumi up` does, from set-up.

It runs in the locked environment. The builder is the plugin's own module, so set-up and Pulumi
share one cache. The output is one line for each step and each line that a step prints.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools.plugins.docker.docker_stand_in.build import BuildRequest, build
from tools.plugins.docker.docker_stand_in.cancellation import Cancellation
from tools.plugins.docker.docker_stand_in.connection import connect
from tools.plugins.docker.docker_stand_in.context import BuildContext
from tools.plugins.docker.docker_stand_in.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Build; return the exit status."""
    given = _parser().parse_args(arguments)
    request = BuildRequest(
        image_name=given.tag,
        context=BuildContext(root=given.context, dockerfile=given.file),
        args=_pairs(given.build_arg),
        labels=_pairs(given.label),
        target=given.target,
    )
    cancellation = Cancellation()
    try:
        with contextlib.closing(connect(None, cancellation)) as client:
            print(build(client, request, _say, cancellation))
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.build_image", description=__doc__)
    parser.add_argument("context", type=Path)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--tag", required=True)
    parser.add_argument("--target")
    for option in ("--build-arg", "--label"):
        parser.add_argument(
            option,
            action="append",
            default=[],
            metavar="NAME[=VALUE]",
            help="without a value, the environment's; left out if it has none",
        )
    return parser


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    values = {name: value if sign else os.environ.get(name) for name, sign, value in pairs}
    return {name: value for name, value in values.items() if value is not None}


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
