"""The names that a stack's state keeps: a change of one makes Pulumi replace what carries it.

A renamed resource is created as a new one, which adopts the running machine, and the old one is
deleted, which removes it with its data. So each name is in `state_names.json`. To change
one, give the resource an alias first, and only then edit the file.
"""

import inspect
import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import settings as runtime_settings

import infra.resources
from infra.machines import target_packages
from infra.machines.targets import TARGETS
from tests.unit.resources.recorder import Recorder, run_program

target_packages.use("aws")
from infra.machines.aws.preflight import Request, Site  # noqa: E402

NAMES = json.loads(Path(__file__).with_name("state_names.json").read_text())
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA3CL5OPqBDSOhdoiRE3V413DE+Me1p/0n/2ovi2QCsv"

AWS = {"target": "aws", "awsRegion": "eu-central-1", "allowedCidrs": '["198.51.100.7/32"]'}
HOSTS = json.dumps(
    [
        {
            "name": name,
            "address": f"192.0.2.{number}",
            "role": name.split("-")[0],
            "hostKey": "accept-once" if number == 3 else KEY,
            "password": "4711",
        }
        for number, name in enumerate(("manager-1", "worker-1", "worker-2"), 1)
    ]
)
STACKS: dict[str, dict[str, str]] = {
    "local": {},
    "existing": {"target": "existing", "hosts": HOSTS},
    "aws": AWS,
    "aws-ecr": {**AWS, "registry": "ecr"},
}


class AnyTarget(Recorder):
    """Answers as the providers of every target would."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        identity, outputs = super().new_resource(args)
        known = {"repositoryUrl": "registry/name", "arn": "arn:aws", "name": identity}
        known |= {"privateIp": "10.80.0.11", "publicIp": "203.0.113.11"}
        return identity, {**known, **outputs}

    def call(self, _args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        return {"id": "ami-1"}


def site_of(request: Request) -> Site:
    """Answer as the preflight does, without an account."""
    zones = tuple(f"{request.region}{letter}" for letter in "ab")
    return Site(region=request.region, zones=zones, architecture="x86_64", account="1234")


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.machines.aws.preflight.check", site_of)
    monkeypatch.setattr("infra.remote.tunnel.open_tunnel", lambda port, *_: port)


def names_of(settings: dict[str, str]) -> list[str]:
    """Return `parent types$type::name` of each resource, as its URN has them."""
    run_program(AnyTarget(), {f"dairflow:{key}": value for key, value in settings.items()})
    monitor: Any = runtime_settings.get_monitor()
    prefix = "urn:pulumi:stack::project::"
    return sorted(
        urn.removeprefix(prefix) for urn in monitor.resources if "pulumi:pulumi:Stack::" not in urn
    )


@pytest.mark.parametrize("stack", STACKS)
def test_the_names_in_a_stacks_state_stay(stack: str) -> None:
    assert names_of(STACKS[stack]) == NAMES[stack]


def test_every_target_has_a_list() -> None:
    assert {stack.get("target", "local") for stack in STACKS.values()} == set(TARGETS)


def test_every_resource_of_the_project_is_in_one_of_the_lists() -> None:
    """A new resource class is pinned here, or nothing would notice its renaming."""
    listed = {
        name.rsplit("::", 1)[0].rsplit("$", 1)[-1] for names in NAMES.values() for name in names
    }
    tokens = {token_of(each) for each in subclasses(pulumi.dynamic.Resource)}
    assert tokens
    assert tokens <= listed


def subclasses(kind: type) -> list[type]:
    package = infra.resources.__name__
    found = [each for each in kind.__subclasses__() if each.__module__.startswith(package)]
    return [each for each in found if not inspect.isabstract(each)]


def token_of(resource: Any) -> str:
    return f"pulumi-python:{resource._resource_type_name}"
