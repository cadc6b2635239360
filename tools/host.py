"""Facts about the machine that set-up runs on."""

from __future__ import annotations

import os
import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

OS_RELEASE = Path("/etc/os-release")
SYSTEMD_RUNS = Path("/run/systemd/system")


@dataclass(frozen=True, kw_only=True)
class Host:
    """The machine: what it runs, and what this user may do on it."""

    system: str
    """`Linux`, `Darwin`, …"""
    distribution: str
    """os-release's ID: `debian`, `ubuntu`, …; empty if there is none."""
    architecture: str
    """In Docker's and Go's words: `amd64` or `arm64`."""
    has_apt: bool
    is_root: bool
    has_sudo: bool
    has_systemd: bool

    @property
    def can_install(self) -> bool:
        """Whether set-up can install operating-system packages here."""
        return self.system == "Linux" and self.has_apt and (self.is_root or self.has_sudo)


def detect() -> Host:
    """Look at this machine."""
    release = parse_os_release(OS_RELEASE.read_text() if OS_RELEASE.is_file() else "")
    machine = platform.machine().lower()
    return Host(
        system=platform.system(),
        distribution=release.get("ID", ""),
        architecture={"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
        has_apt=shutil.which("apt-get") is not None,
        is_root=os.geteuid() == 0,
        has_sudo=shutil.which("sudo") is not None,
        has_systemd=SYSTEMD_RUNS.is_dir(),
    )


def parse_os_release(text: str) -> dict[str, str]:
    """Return the settings of an os-release file (os-release(5))."""
    pairs = re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE)
    return {key: value.strip().strip("\"'") for key, value in pairs}
