"""From saving a DAG's file to the change being seen in Airflow's API, on laptop and cluster.

On the laptop (`docker compose`, `dags/` mounted) nothing else is needed after saving. On the
cluster it is `pulumi up`: one layer is built, pushed and pulled, and the services are updated. What
travels is counted where it arrives: the growth of the registry's volume, and the bytes that a
worker node received meanwhile (everything between the services included), beside the size of the
whole image. Each edit's phases are read off Pulumi's own progress; the page is asked five times a
second.

python -m benchmarks edit
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import requests

from benchmarks._stack import ROOT, STACK, node, pulumi, scratch_stack, signed_in
from infra.images.registry import VOLUME
from tests.visitor import Visitor
from tools.airflow_api import Airflow
from tools.laptop_secrets import write_missing

DAG_ID = "edited"
SOURCE = """
from dag_builder import build_dag

build_dag(
    "edited", {{"description": "version {version}", "tasks": {{"a": {{"operator": "empty"}}}}}}
)
"""
LAPTOP_EDITS, CLUSTER_EDITS = 7, 3
LIVE_SECONDS = 120.0
POLL_SECONDS = 0.1
LAPTOP_WEB_PORT, LAPTOP_FLOWER_PORT = 28083, 25558
MIB = 2**20
GOAL_SECONDS = 20.0
ENDS = {
    "build": re.compile(r"Pushing \S+/airflow:"),
    "push": re.compile(r":Stack airflow updating"),
    "start": re.compile(r":Stack airflow updated"),
}
"""What Pulumi prints at the end of a phase."""
PULLING = re.compile(r"pulling image|being replaced")


@dataclass
class Phases:
    """Seconds since the edit was saved at which each phase ended."""

    started: float = field(default_factory=time.monotonic)
    ended: dict[str, float] = field(default_factory=dict)
    _pulls: bool = False

    def see(self, line: str) -> None:
        """Note the end of each phase that this line of Pulumi's progress reports."""
        now = time.monotonic() - self.started
        if self._pulls:
            self.ended["pull"] = now
        self._pulls = bool(PULLING.search(line))
        for phase, pattern in ENDS.items():
            if phase not in self.ended and pattern.search(line):
                self.ended[phase] = now

    def close(self) -> float:
        """End the last phase, `live`, now; return the seconds since the edit."""
        self.ended["live"] = time.monotonic() - self.started
        return self.ended["live"]

    def print(self) -> None:
        """Print how long each phase took, in the order of their ends."""
        before = 0.0
        for phase, end in sorted(self.ended.items(), key=lambda item: item[1]):
            print(f"    {phase:<6} {end - before:6.1f} s   at {end:6.1f} s")
            before = end


class Edited:
    """The DAG's file, and what Airflow shows of it."""

    def __init__(self, folder: Path) -> None:
        """Write its first version to ``folder/dags``."""
        self.file = folder / "dags" / f"{DAG_ID}.py"
        self.version = 0
        self.save()

    def save(self) -> None:
        """Save another version."""
        self.version += 1
        self.file.write_text(SOURCE.format(version=self.version))

    def wait(self, airflow: Airflow) -> None:
        """Wait until the API shows the version that was saved last."""
        deadline = time.monotonic() + LIVE_SECONDS
        while self._shown(airflow) != f"version {self.version}":
            if time.monotonic() > deadline:
                message = f"version {self.version} was not seen within {LIVE_SECONDS:.0f} s"
                raise SystemExit(message)
            time.sleep(POLL_SECONDS)

    def _shown(self, airflow: Airflow) -> str | None:
        answer = airflow._get(f"/api/v2/dags/{DAG_ID}")  # noqa: SLF001 - 404 is an answer here
        if answer.status_code == requests.codes.not_found:
            return None
        answer.raise_for_status()
        return str(answer.json()["description"])


def copy_of_the_project(folder: Path) -> Path:
    """Copy what git knows of, so that no edit is made in the user's own folder."""
    target = folder / "dairflow"
    listed = subprocess.check_output(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True
    )
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / ".venv").symlink_to(ROOT / ".venv")
    return target


def on_the_laptop(folder: Path) -> None:
    """Measure edits of the folder that Compose mounts."""
    secrets = folder.parent / "secrets"
    write_missing(secrets)
    environment = {
        **os.environ,
        "DAIRFLOW_SECRETS": str(secrets),
        "DAIRFLOW_WEB_PORT": str(LAPTOP_WEB_PORT),
        "DAIRFLOW_FLOWER_PORT": str(LAPTOP_FLOWER_PORT),
    }

    def compose(*arguments: str) -> None:
        command = ["docker", "compose", "--project-name", "dairflow-benchmark", *arguments]
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)

    edited = Edited(folder)
    try:
        compose("up", "--detach", "--wait", "--no-build")
        password = (secrets / "admin_password").read_text()
        url = f"http://127.0.0.1:{LAPTOP_WEB_PORT}"
        airflow = Airflow(url=url, user="admin", password=password)
        airflow.login()
        edited.wait(airflow)
        seconds: list[float] = []
        for _ in range(LAPTOP_EDITS):
            started = time.monotonic()
            edited.save()
            edited.wait(airflow)
            seconds.append(time.monotonic() - started)
    finally:
        compose("down", "--volumes", "--timeout", "5")
    _print("laptop, saved to seen in the API", seconds)


def on_the_cluster(folder: Path) -> None:
    """Measure edits that `pulumi up` ships."""
    up = ("up", "--yes", "--skip-preview", "--stack", STACK)
    edited = Edited(folder)
    with scratch_stack(web_port=28082, flower_port=25557, folder=folder):
        pulumi(*up, folder=folder)
        airflow = signed_in(folder)
        edited.wait(airflow)
        whole = _registry_bytes()
        seconds: list[float] = []
        shipped: list[int] = []
        received: list[int] = []
        for _ in range(CLUSTER_EDITS):
            stored, seen = _registry_bytes(), _received_bytes("worker-1")
            phases = Phases()
            with Visitor(f"{airflow.url}/api/v2/version") as visitor:
                edited.save()
                pulumi(*up, folder=folder, see=phases.see)
                edited.wait(airflow)
                seconds.append(phases.close())
            phases.print()
            print(f"    requests: {visitor.answers} answered, {len(visitor.failures)} failed")
            shipped.append(_registry_bytes() - stored)
            received.append(_received_bytes("worker-1") - seen)
    _print("cluster, saved to seen in the API, `pulumi up` included", seconds)
    print(f"  goal {GOAL_SECONDS:g} s; ratio {statistics.median(seconds) / GOAL_SECONDS:.2f}")
    to_registry = statistics.median(shipped)
    print(
        f"  to the registry {to_registry / 1024:.0f} KiB,"
        f" of {whole / MIB:.0f} MiB when all of the images were new"
        f" (ratio {to_registry / whole:.5f})"
    )
    print(
        f"  received by a worker node meanwhile {statistics.median(received) / MIB:.1f} MiB,"
        " traffic between the services included"
    )


def _registry_bytes() -> int:
    files = f"find /var/lib/docker/volumes/{VOLUME} -type f -printf '%s\\n'"
    return sum(map(int, _in_node("manager-1", files).split()))


def _received_bytes(name: str) -> int:
    return int(_in_node(name, "cat /sys/class/net/eth0/statistics/rx_bytes"))


def _in_node(name: str, script: str) -> str:
    return subprocess.check_output(["docker", "exec", node(name), "sh", "-c", script], text=True)


def _print(what: str, seconds: list[float]) -> None:
    every = ", ".join(f"{one:.1f}" for one in seconds)
    print(f"{what}: median {statistics.median(seconds):.1f} s ({every})", flush=True)


def main() -> None:
    """Measure both, in a copy of the project."""
    with tempfile.TemporaryDirectory(prefix="dairflow-benchmark-") as folder:
        copy = copy_of_the_project(Path(folder))
        on_the_laptop(copy)
        on_the_cluster(copy)


if __name__ == "__main__":
    main()
