"""What stops the build, and what it says on its way."""

from __future__ import annotations


class BuildError(Exception):
    """``airflow_env`` cannot be made; the text says why and what to do next."""


def announce(line: str) -> None:
    """Print a line that set-up shows to the user too."""
    print(f"airflow_env: {line}", flush=True)
