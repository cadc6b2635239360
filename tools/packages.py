"""Packages of Debian and Ubuntu."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools.errors import SetupError
from tools.process import probe, run_logged
from tools.root import as_root

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.host import Host

INSTALL_TIMEOUT_SECONDS = 900
QUERY_TIMEOUT_SECONDS = 30
SYSTEM_PROGRAMS = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True, kw_only=True)
class Apt:
    """The package manager, used only for what is missing."""

    host: Host
    logs: Path
    say: Callable[[str], None]

    def candidate(self, package: str) -> str | None:
        """Return the version that apt would install, or None if there is none."""
        answer = probe(["apt-cache", "policy", package], timeout=QUERY_TIMEOUT_SECONDS)
        match = re.search(r"^\s*Candidate:\s*(\S+)", answer.stdout, re.MULTILINE)
        return match[1] if match and match[1] != "(none)" else None

    def install(self, packages: list[str], *, why: str) -> None:
        """Install packages, saying so before.

        Raises SetupError when this user may not, or apt fails.
        """
        if not self.host.has_apt:
            system = self.host.distribution or self.host.system
            message = (
                f"{why}: set-up installs by itself only on Debian and Ubuntu, and this is {system}."
                f" Install what Debian calls: {' '.join(packages)}"
            )
            raise SetupError(message)
        by_hand = "apt-get update && apt-get install " + " ".join(packages)
        self.say(f"• {why}: apt-get installs {', '.join(packages)} (system packages)")
        install = ("install", "--yes", "--no-install-recommends", *packages)
        for log, words in (("apt-update.log", ("update",)), ("apt.log", install)):
            run_logged(
                as_root(
                    *("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *words),
                    host=self.host,
                    say=self.say,
                    why=why,
                    by_hand=by_hand,
                ),
                log=self.logs / log,
                timeout=INSTALL_TIMEOUT_SECONDS,
                say=self.say,
            )


def find_program(name: str) -> str | None:
    """Return a program's path, also from the system folders that a user's PATH often lacks."""
    return shutil.which(name) or shutil.which(name, path=SYSTEM_PROGRAMS)


@dataclass(frozen=True, kw_only=True)
class SystemPackages:
    """The packages without which the later steps cannot start."""

    apt: Apt
    engine_answers: Callable[[], bool]
    name: str = "system packages"

    def check(self) -> str | None:
        """Return what is there, or None when a package is missing."""
        return None if self.missing() else "docker, ssh, venv"

    def install(self) -> None:
        """Install what is missing."""
        self.apt.install(self._resolved(), why=self.name)

    def missing(self) -> list[str]:
        """Return the Debian packages whose programs are not here."""
        packages: list[str] = []
        if not self.apt.host.has_apt:
            return []  # `Platform` has asked for all; to start Docker is the next step's to say
        if shutil.which("docker") is None or not (find_program("dockerd") or self.engine_answers()):
            packages.append("docker.io")
        if shutil.which("ssh") is None:
            packages.append("openssh-client")
        if shutil.which("uv") is None and not _can_make_environments():
            packages.append("python3-venv")
        if not Path("/etc/ssl/certs/ca-certificates.crt").exists():
            packages.append("ca-certificates")
        return packages

    def _resolved(self) -> list[str]:
        """Since Debian 13, docker.io no longer contains the `docker` command."""
        packages = self.missing()
        if "docker.io" in packages and self.apt.candidate("docker-cli"):
            packages.append("docker-cli")
        return packages


def _can_make_environments() -> bool:
    """Whether `python3 -m venv` works: Debian packages `ensurepip` apart from Python."""
    import importlib.util  # noqa: PLC0415 - rarely needed: only if uv is missing

    return importlib.util.find_spec("ensurepip") is not None and os.name == "posix"
