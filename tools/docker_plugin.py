"""Pulumi's provider plugin for Docker, of the version that the locked SDK requires."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.errors import SetupError
from tools.official import UnreachableError
from tools.paths import digest_of_folder
from tools.process import probe, run_logged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tools.official import Official
    from tools.paths import Paths

OFFICIAL = "official"
PROGRAM = "pulumi-resource-docker"
SCRIPT = b"#!"
OFFICIAL_TIMEOUT_SECONDS = 300
INSTALL_TIMEOUT_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class DockerPlugin:
    """The plugin `docker` in the project's own Pulumi home."""

    paths: Paths
    official: Official
    say: Callable[[str], None]
    name: str = "Pulumi's Docker plugin"

    def check(self) -> str | None:
        """Return what is installed, or None: nothing, another version, or an older stand-in.

        A stand-in counts for a day: then the official plugin is tried again.
        """
        version = self._version()
        if version is None or not (self._installed(version) / PROGRAM).exists():
            return None
        if self._source() == f"{version} {OFFICIAL}":
            return None if self._is_script(version) else version
        if self._has_stand_in(version) and self.official.holds(self._stamp.stat().st_mtime):
            return f"{version} (stand-in)"
        return None

    def install(self) -> None:
        """Let Pulumi download it; else install the project's stand-in."""
        version = self._version()
        if version is None:
            message = f"{self.paths.environment} contains no pulumi_docker. Remove it, and retry."
            raise SetupError(message)
        try:
            self._download(version)
        except UnreachableError as refusal:
            self._install_stand_in(version, str(refusal))

    def _download(self, version: str) -> None:
        self.official.require("get.pulumi.com")
        self.say(f"• {self.name}: pulumi downloads version {version} to {self.paths.pulumi_home}")
        answer = probe(
            # Without --reinstall, Pulumi keeps a stand-in of the same version and reports success.
            [*self._command(version), "--reinstall"],
            timeout=OFFICIAL_TIMEOUT_SECONDS,
            env=self._environment(),
        )
        if answer.returncode != 0:
            said = answer.stderr.strip().splitlines() or ["no reason given"]
            raise UnreachableError(said[-1])
        self._stamp.write_text(f"{version} {OFFICIAL}")

    def _install_stand_in(self, version: str, refusal: str) -> None:
        if not (self._stand_in / PROGRAM).exists():
            message = (
                f"{self.name} cannot be downloaded ({refusal}), and its stand-in is not in "
                f"{self._stand_in}: this clone is incomplete. Try `git status`."
            )
            raise SetupError(message)
        if self._has_stand_in(version):
            self.say(f"• {self.name}: cannot be downloaded ({refusal}), so the stand-in stays")
            self._note_try()
            return
        self.say(
            f"• {self.name}: cannot be downloaded ({refusal}), so the stand-in in tools/plugins/"
            f"docker serves the resource types that this project uses"
        )
        shutil.rmtree(self._installed(version), ignore_errors=True)
        run_logged(
            [*self._command(version), "--file", str(self._stand_in), "--reinstall"],
            log=self.paths.logs / "docker-plugin.log",
            timeout=INSTALL_TIMEOUT_SECONDS,
            say=self.say,
            env=self._environment(),
        )
        self._stamp.write_text(self._stand_in_source(version))
        self._note_try()

    def _command(self, version: str) -> list[str]:
        search = f"{self.paths.programs}{os.pathsep}{os.environ.get('PATH', '')}"
        pulumi = shutil.which("pulumi", path=search) or "pulumi"
        return [pulumi, "plugin", "install", "resource", "docker", version]

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PULUMI_HOME": str(self.paths.pulumi_home),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }

    def _version(self) -> str | None:
        """Return the version that the installed SDK names; Pulumi requires exactly that one."""
        pattern = "lib/python3*/site-packages/pulumi_docker/pulumi-plugin.json"
        for file in self.paths.environment.glob(pattern):
            return str(json.loads(file.read_text())["version"])
        return None

    def _installed(self, version: str) -> Path:
        return self.paths.pulumi_home / "plugins" / f"resource-docker-v{version}"

    def _note_try(self) -> None:
        """Date the stamp. The time that a file system gives a file is some milliseconds behind."""
        now = time.time()
        os.utime(self._stamp, (now, now))

    def _source(self) -> str:
        try:
            return self._stamp.read_text()
        except OSError:
            return ""

    def _has_stand_in(self, version: str) -> bool:
        """Return whether the stand-in that is installed is this clone's."""
        return (
            (self._installed(version) / PROGRAM).exists()
            and self._stand_in.is_dir()
            and self._source() == self._stand_in_source(version)
        )

    def _is_script(self, version: str) -> bool:
        """Tell whether the installed plugin is a stand-in: the official one is a binary."""
        with (self._installed(version) / PROGRAM).open("rb") as program:
            return program.read(len(SCRIPT)) == SCRIPT

    @property
    def _stand_in(self) -> Path:
        return self.paths.repository / "tools" / "plugins" / "docker"

    def _stand_in_source(self, version: str) -> str:
        return f"{version} stand-in {digest_of_folder(self._stand_in)}"

    @property
    def _stamp(self) -> Path:
        return self.paths.state / "docker-plugin"
