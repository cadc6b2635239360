"""Builds the stack's images into the engine's cache, and reports the cause of a failed build.

``docker.Image`` then finds every step built, and only pushes. The official plugin reports only the
exit code of a failed step; here the step's last lines are in the error, and the whole output is in
a log.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.errors import UserError
from infra.project import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOGS = ROOT / ".dairflow" / "logs"


class ImageBuildError(UserError):
    """An image cannot be built; the message has the failed step's last lines and the log's path."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Inputs of an image's build. The paths are relative to the project."""

    name: str
    context: str
    dockerfile: str
    arguments: Mapping[str, str]
    platform: str


def build(recipe: Recipe, *, logs: Path = LOGS) -> None:
    """Build every step into the cache of the operator's engine, without an image or a name.

    Raises:
        ImageBuildError: if a step failed, or the engine does not answer.

    """
    from tools.plugins.docker.docker_stand_in.build import (  # noqa: PLC0415 - slow to import
        BuildRequest,
    )
    from tools.plugins.docker.docker_stand_in.build import build as build_image  # noqa: PLC0415
    from tools.plugins.docker.docker_stand_in.cancellation import Cancellation  # noqa: PLC0415
    from tools.plugins.docker.docker_stand_in.connection import connect  # noqa: PLC0415
    from tools.plugins.docker.docker_stand_in.context import BuildContext  # noqa: PLC0415
    from tools.plugins.docker.docker_stand_in.errors import EngineError  # noqa: PLC0415

    request = BuildRequest(
        image_name=recipe.name,
        context=BuildContext(
            root=ROOT / recipe.context,
            dockerfile=ROOT / recipe.dockerfile,
        ),
        args=recipe.arguments,
        platform=recipe.platform,
        cache_only=True,
    )
    log = logs / f"build-{recipe.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    cancellation = Cancellation()
    with log.open("w") as output:

        def report(line: str) -> None:
            output.write(f"{line}\n")
            output.flush()

        try:
            with contextlib.closing(connect(None, cancellation)) as client:
                build_image(client, request, report, cancellation)
        except EngineError as error:
            output.write(f"{error}\n")
            msg = f"{error}\nThe whole output is in {log}"
            raise ImageBuildError(msg) from error
