"""A scratch stack of the local target for a benchmark: its commands, its outputs, its end."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from infra.machines.node_container import container_name
from tools.airflow_api import Airflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]
STACK = "test-benchmark"


def pulumi(
    *arguments: str, folder: Path = ROOT, see: Callable[[str], None] = lambda _: None
) -> None:
    """Run pulumi, showing each line of its progress to ``see``; all is printed when it fails."""
    running = subprocess.Popen(
        ["pulumi", *arguments, "--non-interactive"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    for line in running.stdout or ():
        lines.append(line)
        see(line)
    if running.wait() != 0:
        print("".join(lines))
        message = f"pulumi {' '.join(arguments)} failed"
        raise SystemExit(message)


@contextlib.contextmanager
def scratch_stack(*, web_port: int, flower_port: int, folder: Path = ROOT) -> Iterator[None]:
    """Select a stack in a backend of its own; destroy it at the end, and leave nothing behind."""
    with tempfile.TemporaryDirectory(prefix="dairflow-benchmark-") as backend:
        os.environ["PULUMI_BACKEND_URL"] = f"file://{backend}"
        os.environ["PULUMI_CONFIG_PASSPHRASE"] = "a passphrase for a benchmark"  # noqa: S105
        os.environ.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)
        pulumi("stack", "init", STACK, folder=folder)
        try:
            for key, value in (("webPort", web_port), ("flowerPort", flower_port)):
                pulumi("config", "set", key, str(value), "--stack", STACK, folder=folder)
            yield
        finally:
            pulumi("destroy", "--yes", "--skip-preview", "--stack", STACK, folder=folder)
            pulumi("stack", "rm", "--yes", STACK, folder=folder)


def signed_in(folder: Path = ROOT) -> Airflow:
    """Return the stack's Airflow."""
    command = ["pulumi", "stack", "output", "--json", "--show-secrets", "--stack", STACK]
    found: dict[str, str] = json.loads(subprocess.check_output(command, cwd=folder))
    airflow = Airflow.of_stack(found)
    airflow.login()
    return airflow


def node(name: str) -> str:
    """Return the name of a node's container."""
    return container_name(STACK, name)
