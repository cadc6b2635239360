"""A copy of the project with a stack of its own, driven by the real command line."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest

from infra.images import project_images
from tools.airflow_api import Airflow

ROOT = Path(__file__).parents[2]
CLONE = 'the user\'s clone für "tests" $1'
"""A folder's name that a shell, SSH's configuration and URLs each read in a way of their own."""
STACK = "test-e2e"
WEB_PORT = 28080
FLOWER_PORT = 25555
COMMAND_TIMEOUT_SECONDS = 900
"""An upper bound that ends a test that hangs, no measure of speed."""


@dataclass(kw_only=True)
class Project:
    """A copy of the working tree in ``folder``, with its own backend and passphrase."""

    folder: Path
    stack: str
    environment: dict[str, str]
    log: list[str] = field(default_factory=list)

    def pulumi(self, *arguments: str, check: bool = True, **environment: str) -> str:
        """Run pulumi, and return what it printed, both streams."""
        command = ["pulumi", *arguments, "--non-interactive"]
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=COMMAND_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as expired:
            seen = (expired.stdout or b"").decode(errors="replace")
            self.log.append(f"$ {' '.join(command)}\n{seen}")
            pytest.fail(
                f"{' '.join(command)} had not ended after {COMMAND_TIMEOUT_SECONDS} s:\n"
                f"{seen[-6000:]}"
            )
        self.log.append(f"$ {' '.join(command)}\n{done.stdout}")
        if check and done.returncode != 0:
            pytest.fail(f"{' '.join(command)} failed:\n{done.stdout[-6000:]}")
        if not check:
            assert done.returncode != 0, f"{' '.join(command)} succeeded:\n{done.stdout[-3000:]}"
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start pulumi without waiting for it, its output in a pipe."""
        return subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def up(self, *arguments: str) -> str:
        return self.pulumi("up", "--yes", "--skip-preview", *arguments)

    def set(self, key: str, value: object) -> None:
        self.pulumi("config", "set", key, str(value))

    def expect_no_changes(self) -> None:
        self.pulumi("preview", "--expect-no-changes")

    def outputs(self) -> dict[str, Any]:
        command = ["pulumi", "stack", "output", "--json", "--show-secrets"]
        printed = subprocess.run(
            command, cwd=self.folder, env=self.environment, check=True, capture_output=True
        )
        return json.loads(printed.stdout)

    def on(self, machine: str, command: str) -> str:
        """Run a command on a machine as a user does: with the SSH configuration of the stack."""
        config = self.folder / ".dairflow" / "stacks" / self.stack / "ssh_config"
        done = subprocess.run(
            ["ssh", "-F", str(config), machine, command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{machine}: {command}: {done.stderr}"
        return done.stdout

    def service_logs(self, *services: str) -> str:
        """Return the last lines that Airflow's services wrote, for a failure's explanation."""
        each = " ".join(f"airflow_{service}" for service in services)
        return self.on(
            "manager-1",
            f"for each in {each}; do timeout 30 docker service logs --tail 60 $each 2>&1; done",
        )

    def clean_up(self) -> None:
        """Take everything away, whatever state it is in."""
        for arguments in (("cancel", "--yes"), ("destroy", "--yes", "--skip-preview")):
            subprocess.run(
                ["pulumi", *arguments, "--non-interactive"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=COMMAND_TIMEOUT_SECONDS,
                check=False,
            )

    def save_log(self, name: str) -> None:
        """Keep what was run and printed."""
        (ROOT / ".dairflow").mkdir(exist_ok=True)
        (ROOT / ".dairflow" / name).write_text("\n".join(self.log))

    def airflow(self) -> Airflow:
        outputs = self.outputs()
        airflow = Airflow(
            url=outputs["airflowUrl"], user=outputs["adminUser"], password=outputs["adminPassword"]
        )
        airflow.login()
        return airflow

    def nodes(self) -> dict[str, str]:
        """Return each swarm node's state by host name, as ``docker node ls`` prints it."""
        printed = self.on("manager-1", "docker node ls --format '{{.Hostname}} {{.Status}}'")
        return dict(line.split(" ", 1) for line in printed.splitlines())


def copy_of_the_project(folder: Path) -> None:
    """Copy the files that git tracks, and those that it does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    for name in listed:
        source, target = ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / ".dairflow").mkdir()
    shutil.copy2(project_images.RECORD, folder / ".dairflow")  # the copy's content is the same


def make_project(
    folder: Path, stack: str, *, web_port: int, flower_port: int, **environment: str
) -> Project:
    clone = folder / CLONE
    copy_of_the_project(clone)
    (folder / "state").mkdir()
    environment = {
        **os.environ,
        **environment,
        "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "a passphrase for tests",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    environment.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)
    project = Project(folder=clone, stack=stack, environment=environment)
    project.pulumi("stack", "init", stack)
    project.set("webPort", web_port)
    project.set("flowerPort", flower_port)
    return project


def inventory(client: docker.DockerClient) -> dict[str, set[str]]:
    """Everything in the user's Docker that has a name."""
    return {
        "containers": {c.name for c in client.containers.list(all=True)},
        "networks": {n.name for n in client.networks.list()},
        "volumes": {v.name for v in client.volumes.list()},
        "image tags": {tag for image in client.images.list() for tag in image.tags},
    }
