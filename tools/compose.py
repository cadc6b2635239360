"""Docker Compose v2, for the laptop without a cluster."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools import versions
from tools.official import UnreachableError
from tools.paths import digest_of_files, filling
from tools.process import probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.golang import GoFinder
    from tools.host import Host
    from tools.official import Official
    from tools.packages import Apt
    from tools.paths import Paths

PROGRAM = "docker-compose"
PACKAGE = "github.com/docker/compose/v2/cmd"
VERSION_VARIABLE = "github.com/docker/compose/v2/internal.Version"
DISTRIBUTION_PACKAGES = ("docker-compose-v2", "docker-compose")
"""Ubuntu's and Debian's names; the second is Compose v1 before Debian 13."""

VERSION_TIMEOUT_SECONDS = 20

FRONT = """\
#!/bin/sh
# Made by set-up: `docker compose` without a file in any of Docker's own plugin folders.
# Docker's other commands, and its options before `compose`, go through unchanged.
here=$(cd "$(dirname "$0")" && pwd)
count=0
for word in "$@"; do
    if [ -n "$takes_value" ]; then takes_value=; count=$((count + 1)); continue; fi
    case "$word" in
        -c | --context | -H | --host | --config | -l | --log-level) takes_value=yes ;;
        -*) ;;
        *) break ;;
    esac
    count=$((count + 1))
done
if [ "$word" = compose ] && [ $# -gt $count ]; then
    position=0
    for argument in "$@"; do
        shift
        if [ $position -ne $count ]; then set -- "$@" "$argument"; fi
        position=$((position + 1))
    done
    exec "$here/docker-compose" "$@"
fi
exec {docker} "$@"
"""


@dataclass(frozen=True, kw_only=True)
class Compose:
    """`docker compose`: Docker's plugin if there is one, else a program in `.dairflow/bin`."""

    paths: Paths
    host: Host
    official: Official
    apt: Apt
    go: GoFinder
    say: Callable[[str], None]
    name: str = "Docker Compose"

    def check(self) -> str | None:
        """Return which Compose there is, or None when none is new enough."""
        if (self.paths.programs / PROGRAM).exists() and (self.paths.programs / "docker").exists():
            return f"{versions.COMPOSE} ({(self.paths.programs / PROGRAM).resolve().parent})"
        docker = self._docker()
        if docker is None:
            return None
        answer = probe([docker, "compose", "version", "--short"], timeout=VERSION_TIMEOUT_SECONDS)
        usable = answer.returncode == 0 and versions.at_least(
            answer.stdout, versions.COMPOSE_MINIMUM
        )
        return f"{answer.stdout.strip()} (Docker's plugin)" if usable else None

    def install(self) -> None:
        """Link the cached one; else download it; else the distribution's package; else build it."""
        for folder in (self._official_folder, self._built_folder):
            if folder.is_dir():
                self._link(folder)
                return
        try:
            self._download()
        except UnreachableError as refusal:
            if package := self._distribution_package():
                self.apt.install([package], why=f"{self.name}, not downloaded ({refusal})")
            else:
                self._build(str(refusal))

    def _docker(self) -> str | None:
        """Return Docker's own command, not the one in front of it."""
        folders = os.environ.get("PATH", "").split(os.pathsep)
        others = [folder for folder in folders if Path(folder) != self.paths.programs]
        return shutil.which("docker", path=os.pathsep.join(others))

    @property
    def _official_folder(self) -> Path:
        return self.paths.cached("compose", versions.COMPOSE, "official")

    @property
    def _module(self) -> Path:
        return self.paths.repository / "tools" / "go_modules" / "compose"

    @property
    def _built_folder(self) -> Path:
        files = [self._module / name for name in ("go.mod", "go.sum", "tools.go")]
        return self.paths.cached("compose", versions.COMPOSE, digest_of_files(*files))

    def _distribution_package(self) -> str | None:
        if not self.host.can_install:
            return None
        for package in DISTRIBUTION_PACKAGES:
            candidate = self.apt.candidate(package)
            if candidate and versions.compatible(candidate, versions.COMPOSE_MINIMUM):
                return package
        return None

    def _download(self) -> None:
        machine = {"amd64": "x86_64", "arm64": "aarch64"}[self.host.architecture]
        url = (
            f"https://github.com/docker/compose/releases/download/v{versions.COMPOSE}/"
            f"docker-compose-{self.host.system.lower()}-{machine}"
        )
        self.official.require("github.com")
        self.say(f"• {self.name}: downloads {url} to {self._official_folder}")
        with filling(self._official_folder) as folder:
            program = folder / PROGRAM
            self.official.fetch_verified(url, program, digests=f"{url}.sha256")
            program.chmod(0o755)
        self._link(self._official_folder)

    def _build(self, refusal: str) -> None:
        go = self.go.find()
        self.say(
            f"• {self.name}: cannot be downloaded ({refusal}), so it is built from its Go module "
            f"with {go.program}: once, about 2 minutes on two cores. It goes to "
            f"{self._built_folder}; Go keeps its own caches where `go env` says"
        )
        with filling(self._built_folder) as folder:
            go.build(
                module=self._module,
                package=PACKAGE,
                output=folder / PROGRAM,
                variables={VERSION_VARIABLE: f"v{versions.COMPOSE}"},
                log=self.paths.logs / "docker-compose-build.log",
                say=self.say,
            )
        self._link(self._built_folder)

    def _link(self, folder: Path) -> None:
        self.paths.programs.mkdir(parents=True, exist_ok=True)
        link = self.paths.programs / PROGRAM
        link.unlink(missing_ok=True)
        link.symlink_to(folder / PROGRAM)
        front = self.paths.programs / "docker"
        front.write_text(FRONT.replace("{docker}", str(self._docker())))
        front.chmod(0o755)
