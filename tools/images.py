"""The project's images, built once by set-up, so that `pulumi up` finds every layer made.

Pulumi builds and pushes the stack's own again from the same cache, which is then a matter of
seconds; the nodes' and the registry's are used from here. Their names end with a digest of what
they are made from (`tools/image_names.py`), so clones do not move each other's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from tools import image_names
from tools.paths import digest_of_folder
from tools.process import run_logged

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.paths import Paths

BUILD_TIMEOUT_SECONDS = 1_800

NAMES = ("node", "registry", "postgres", "redis", "web", "airflow")

ARGUMENTS = ("CONDA_CHANNELS", "PIP_INDEX_URL")
"""Where the Airflow image's packages come from: build arguments that the environment may set."""

ANNOUNCEMENT = "airflow_env: "
"""How the part of a log's line begins that says which way a choice went."""


@dataclass(frozen=True, kw_only=True)
class ProjectImage:
    """An image in this machine's engine, from `images/NAME`."""

    paths: Paths
    image: str
    say: Callable[[str], None]

    @property
    def name(self) -> str:
        """What it is called in set-up's output."""
        return f"image {self.image}"

    @property
    def reference(self) -> str:
        """The image's name in the engine, which ends with a digest of its sources."""
        content = sha256(self._content().encode()).hexdigest()[: image_names.CONTENT_DIGITS]
        return f"{image_names.PREFIX}{self.image}:{content}"

    def check(self) -> str | None:
        """Return the image's name if the engine has it and the program finds it."""
        reference = self.reference
        known = image_names.recorded(self.paths).get(self.image) == reference
        return reference if known and image_names.is_present(reference) else None

    def install(self) -> None:
        """Build it, unless another clone has built the same."""
        if not image_names.is_present(self.reference):
            self._build()
        image_names.record(self.paths, self.image, self.reference)

    def _build(self) -> None:
        self.say(f"• {self.name}: builds it from images/{self.image}")
        folder = self.paths.repository / "images" / self.image
        context = self.paths.repository if self.image == "airflow" else folder
        log = self.paths.logs / f"image-{self.image}.log"
        run_logged(
            [
                *image_names.build_command(self.paths),
                *("--tag", self.reference, "--build-arg", f"BASE_IMAGE={self._base}"),
                *(f"--build-arg={name}" for name in self._arguments()),
                *("--file", str(folder / "Dockerfile"), str(context)),
            ],
            log=log,
            timeout=BUILD_TIMEOUT_SECONDS,
            say=self.say,
            cwd=self.paths.repository,
        )
        for line in log.read_text(errors="replace").splitlines():
            if f"] {ANNOUNCEMENT}" in line:
                self.say(f"  {line[line.index(ANNOUNCEMENT) :]}")

    @property
    def _base(self) -> str:
        return image_names.recorded(self.paths).get(image_names.BASE, "")

    def _content(self) -> str:
        sources = [self.paths.repository / "images" / self.image]
        if self.image == "airflow":
            sources += [self.paths.repository / name for name in ("dag_builder", "dags")]
        arguments = [f"{name}={value}" for name, value in self._arguments().items()]
        return " ".join([self._base, *(digest_of_folder(source) for source in sources), *arguments])

    def _arguments(self) -> dict[str, str]:
        names = ARGUMENTS if self.image == "airflow" else ()
        return {name: value for name in names if (value := os.environ.get(name))}
