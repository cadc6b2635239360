"""The machines of ``target: aws`` with the real Pulumi, over changes of settings and of AWS.

The program is the machines' part alone; moto answers for AWS and a stand-in serves Pulumi's plugin
(``tests/aws``), which follows the upstream provider in what replaces a resource and what is kept.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.machines import target_packages

target_packages.use("aws")
from aws_cloud.server import Server  # noqa: E402
from aws_standin.install import install  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.contract, pytest.mark.timeout(400)]
ROOT = Path(__file__).parents[2]
REGION = "eu-central-1"
MACHINES = {"manager-1", "worker-1", "worker-2"}
PROGRAM = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}]

import pulumi
from infra.machines.provision import preflight, provision
from infra.machines.targets import TARGETS
from infra.resources.keys import Secrets
from infra.settings.loading import load
from infra.stack.memory import Needs

settings = load(TARGETS)
target = TARGETS[settings.target]
site = preflight(target, settings, Needs())
secrets = Secrets("secrets", rotations={{}}, given={{}})
fleet = provision(target, settings, site, secrets.cluster_id, Needs())
pulumi.export("machines", pulumi.Output.all(*fleet.machines))
"""


class Stack:
    """A stack of the program above, and the account that it is in."""

    def __init__(self, folder: Path) -> None:
        """Make it with the settings of a first user."""
        self.server = Server(REGION)
        self.ec2 = self.server.client()
        self.folder = folder
        (folder / "state").mkdir()
        (folder / "plugin").mkdir()
        (folder / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "__main__.py").write_text(PROGRAM)
        self.environment = {
            **os.environ,
            **self.server.environment(),
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "a passphrase for tests",
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_PYTHON_CMD": sys.executable,
            "PYTHONPATH": str(ROOT),
        }
        plugins = Path(os.environ["PULUMI_HOME"]) / "plugins"
        (folder / "home" / "plugins").mkdir(parents=True)
        for plugin in plugins.glob("resource-docker-*"):
            (folder / "home" / "plugins" / plugin.name).symlink_to(plugin)
        install(folder / "plugin", self.environment)
        self.pulumi("stack", "init", "test")
        self.set("target", "aws")
        self.set("awsRegion", REGION)
        self.pulumi("config", "set", "--path", "allowedCidrs[0]", "198.51.100.7/32")

    def pulumi(self, *arguments: str, succeeds: bool = True) -> str:
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=200,
        )
        assert (done.returncode == 0) is succeeds, done.stdout
        return done.stdout

    def set(self, key: str, value: object) -> None:
        self.pulumi("config", "set", key, str(value))

    def up(self, *arguments: str) -> None:
        self.pulumi("up", "--yes", "--skip-preview", *arguments)

    def instances(self) -> dict[str, dict[str, Any]]:
        """Return the instances that have not ended, by their machines' names."""
        reservations = self.ec2.describe_instances()["Reservations"]
        found = [one for reservation in reservations for one in reservation["Instances"]]
        return {
            tag["Value"].removeprefix("dairflow-test-"): one
            for one in found
            for tag in one["Tags"]
            if tag["Key"] == "Name" and one["State"]["Name"] != "terminated"
        }

    def ids(self) -> dict[str, str]:
        return {name: found["InstanceId"] for name, found in self.instances().items()}

    def addresses(self) -> dict[str, str]:
        """Return the addresses that the stack has for its machines."""
        printed = self.pulumi("stack", "output", "machines", "--json", "--show-secrets")
        return {machine["name"]: machine["address"] for machine in json.loads(printed)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Bring up a stack; the tests change it one after the other."""
    stack = Stack(tmp_path_factory.mktemp("aws"))
    try:
        stack.up()
        assert stack.ids().keys() == MACHINES
        yield stack
    finally:
        stack.server.close()


def test_what_was_made_stays_as_it_is(made: Stack) -> None:
    made.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    made.pulumi("preview", "--expect-no-changes")


def test_stopped_machines_are_refused_and_kept_when_they_run_again(made: Stack) -> None:
    """A stopped instance has no public address, which reads as another way to launch it."""
    before, old = made.ids(), made.addresses()
    every = list(before.values())
    made.ec2.stop_instances(InstanceIds=every)
    printed = made.pulumi("up", "--yes", "--skip-preview", "--refresh", succeeds=False)
    assert "manager-1, worker-1, worker-2 are stopped" in printed
    made.ec2.start_instances(InstanceIds=every)
    printed = made.pulumi("up", "--yes", "--skip-preview", succeeds=False)
    assert re.search(r"(manager|worker)-\d has no public address in this stack's state", printed)
    assert "Traceback" not in printed
    assert made.ids() == before
    made.up("--refresh")
    assert made.ids() == before
    new = {name: found["PublicIpAddress"] for name, found in made.instances().items()}
    assert made.addresses() == new
    assert set(new.values()).isdisjoint(old.values())


def test_machines_stay_that_were_recorded_while_they_were_stopped(made: Stack) -> None:
    """A change before the next refresh records the address again, beside the input without one."""
    before = made.ids()
    every = list(before.values())
    made.ec2.stop_instances(InstanceIds=every)
    made.pulumi("up", "--yes", "--skip-preview", "--refresh", succeeds=False)
    made.ec2.start_instances(InstanceIds=every)
    for number in ("41", "42"):
        made.set("awsManagerVolume", number)
        made.set("awsWorkerVolume", number)
        made.up()
        assert made.ids() == before


def test_machines_keep_their_profile_when_the_registry_is_another(made: Stack) -> None:
    before, iam = made.ids(), made.server.client("iam")
    made.set("registry", "ecr")
    made.up()
    profiles = {found["IamInstanceProfile"]["Arn"] for found in made.instances().values()}
    (profile,) = iam.list_instance_profiles()["InstanceProfiles"]
    assert profiles == {profile["Arn"]}
    role = profile["Roles"][0]["RoleName"]
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == ["pull-images"]
    made.set("registry", "embedded")
    made.up()
    (kept,) = iam.list_instance_profiles()["InstanceProfiles"]
    assert kept["Arn"] == profile["Arn"]
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == []
    assert made.server.client("ecr").describe_repositories()["repositories"] == []
    assert made.ids() == before


def test_spot_workers_come_and_go(made: Stack) -> None:
    before = made.ids()
    made.set("awsSpotWorkers", "true")
    made.up()
    spot = made.ids()
    assert {made.instances()[name].get("InstanceLifecycle") for name in spot} == {None, "spot"}
    made.set("awsSpotWorkers", "false")
    printed = made.pulumi("preview")
    assert "awsSpotWorkers: with false, worker-1, worker-2 will be replaced" in printed
    made.up()
    after = made.instances()
    assert not any("InstanceLifecycle" in found for found in after.values())
    assert after["manager-1"]["InstanceId"] == spot["manager-1"] == before["manager-1"]
    assert after["worker-1"]["InstanceId"] != spot["worker-1"] != before["worker-1"]


def test_a_protected_manager_keeps_its_disk(made: Stack) -> None:
    def outlives() -> dict[str, bool]:
        return {
            name: not device["Ebs"]["DeleteOnTermination"]
            for name, found in made.instances().items()
            for device in found["BlockDeviceMappings"]
        }

    before = made.ids()
    made.set("awsProtect", "true")
    made.set("awsManagerVolume", 50)
    made.up()
    assert outlives() == {"manager-1": True, "worker-1": False, "worker-2": False}
    made.pulumi("destroy", "--yes", "--skip-preview", succeeds=False)
    assert made.ids()["manager-1"] == before["manager-1"]
    made.set("awsProtect", "false")
    made.up()
    assert not any(outlives().values())
    assert made.ids()["manager-1"] == before["manager-1"]


def test_another_region_is_refused(made: Stack) -> None:
    before = made.ids()
    made.set("awsRegion", "eu-west-1")
    for command in (["preview"], ["up", "--yes", "--skip-preview"]):
        printed = made.pulumi(*command, succeeds=False)
        assert "awsRegion: 'eu-west-1' is not valid" in printed
        assert "the machines of this stack were created with 'eu-central-1'" in printed
    made.set("awsRegion", REGION)
    assert made.ids() == before


def test_nothing_is_left(made: Stack) -> None:
    made.pulumi("destroy", "--yes", "--skip-preview")
    assert made.ids() == {}
    assert made.ec2.describe_volumes()["Volumes"] == []
    assert made.server.client("iam").list_roles()["Roles"] == []
