"""The project's images, built once by set-up, so that `pulumi up` finds every layer made.

Pulumi builds and pushes the stack's own again, which is then a matter of seconds; the nodes'
and the registry's are used from here. All are named `dairflow/…` and stay when a stack goes.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools import base_image
from tools.paths import digest_of_folder
from tools.process import probe, run_logged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tools.paths import Paths

BUILD_TIMEOUT_SECONDS = 1_800

NAMES = ("node", "registry", "postgres", "redis", "web", "airflow")

ARGUMENTS = ("CONDA_CHANNELS", "PIP_INDEX_URL")
"""Where the Airflow image's packages come from: build arguments that the environment may set."""

ANNOUNCEMENT = "airflow_env: "
"""How a line of the build's log begins that says which way a choice went."""


@dataclass(frozen=True, kw_only=True)
class ProjectImage:
    """`dairflow/NAME:trixie` in this machine's engine, from `images/NAME`."""

    paths: Paths
    image: str
    say: Callable[[str], None]

    @property
    def name(self) -> str:
        """What it is called in set-up's output."""
        return f"image {self.image}"

    @property
    def reference(self) -> str:
        """The image's name in the engine."""
        return f"dairflow/{self.image}:{base_image.RELEASE}"

    def check(self) -> str | None:
        """Return the image's name when the engine has it and its sources are as they were."""
        built = self._record().get(self.reference)
        now = {"content": self._content(), "base": _image_id(base_image.IMAGE)}
        present = _image_id(self.reference)
        return self.reference if present and built == now else None

    def install(self) -> None:
        """Build it. The classic builder is what keeps its layers in the image store."""
        self.say(f"• {self.name}: builds it from images/{self.image}")
        folder = self.paths.repository / "images" / self.image
        context = self.paths.repository if self.image == "airflow" else folder
        log = self.paths.logs / f"image-{self.image}.log"
        run_logged(
            [
                *("docker", "build", "--force-rm", "--tag", self.reference),
                *(f"--build-arg={name}" for name in self._arguments()),
                *("--file", str(folder / "Dockerfile"), str(context)),
            ],
            log=log,
            timeout=BUILD_TIMEOUT_SECONDS,
            say=self.say,
            env={**os.environ, "DOCKER_BUILDKIT": "0"},
        )
        for line in log.read_text(errors="replace").splitlines():
            if ANNOUNCEMENT in line:
                self.say(f"  {line[line.index(ANNOUNCEMENT) :]}")
        entry = {"content": self._content(), "base": _image_id(base_image.IMAGE)}
        self._record_file.parent.mkdir(parents=True, exist_ok=True)
        self._record_file.write_text(json.dumps(self._record() | {self.reference: entry}, indent=1))

    @property
    def _record_file(self) -> Path:
        return self.paths.state / "images.json"

    def _record(self) -> dict[str, dict[str, str]]:
        try:
            return json.loads(self._record_file.read_text())
        except (OSError, ValueError):
            return {}

    def _content(self) -> str:
        sources = [self.paths.repository / "images" / self.image]
        if self.image == "airflow":
            sources += [self.paths.repository / name for name in ("dag_builder", "dags")]
        arguments = [f"{name}={value}" for name, value in self._arguments().items()]
        return " ".join([*(digest_of_folder(source) for source in sources), *arguments])

    def _arguments(self) -> dict[str, str]:
        names = ARGUMENTS if self.image == "airflow" else ()
        return {name: value for name in names if (value := os.environ.get(name))}


def _image_id(reference: str) -> str:
    command = ["docker", "image", "inspect", reference, "--format", "{{.Id}}"]
    answer = probe(command, timeout=base_image.DOCKER_TIMEOUT_SECONDS)
    return answer.stdout.strip() if answer.returncode == 0 else ""
