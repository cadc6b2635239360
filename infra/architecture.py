"""Names of processor architectures: the kernel's (``uname -m``) and Docker's."""

from __future__ import annotations

DOCKER_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Docker's names of architectures, by the kernel's names if they differ."""


def docker_name(machine: str) -> str:
    """Return Docker's name of an architecture; macOS and AWS have ``arm64`` as Docker does."""
    return DOCKER_NAMES.get(machine, machine)


def platform(machine: str) -> str:
    """Return the platform of images for an architecture: ``linux/amd64``."""
    return f"linux/{docker_name(machine)}"
