"""The whole program against Pulumi's mocks: which resources it asks for, and with which inputs."""

import asyncio
import base64
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime.stack import wait_for_rpcs

from infra.resources.keys import REGISTRY_PASSWORD
from infra.stack.secrets import SECRET_NAMES

ROOT = Path(__file__).parents[3]
LOCAL_MACHINE = "pulumi-python:dynamic/machines:LocalMachine"

COMPUTED: dict[str, dict[str, Any]] = {
    "pulumi-python:dynamic/keys:Secrets": {
        "cluster_id": "0123abcd",
        "values": {
            name: base64.urlsafe_b64encode(name.ljust(32).encode()[:32]).decode()
            for name in (*SECRET_NAMES, REGISTRY_PASSWORD)
        },
    },
    "pulumi-python:dynamic/keys:SshKey": {"private_key": "private", "public_key": "ssh-ed25519 A"},
    "pulumi-python:dynamic/keys:RegistryCertificate": {
        "authority": "authority",
        "certificate": "certificate",
        "private_key": "key",
    },
    "pulumi-python:dynamic/machines:LocalNetwork": {
        "subnet": "10.213.0.0/22",
        "gateway": "10.213.0.1",
        "mtu": 1500,
    },
    "pulumi-python:dynamic/images:DeployedImage": {"digest": f"sha256:{'0' * 64}"},
}


class Recorder(pulumi.runtime.Mocks):
    """Keeps what was asked for, and answers as the providers would."""

    def __init__(self) -> None:
        self.resources: dict[str, tuple[str, dict[str, Any]]] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources[args.name] = (args.typ, args.inputs)
        computed = dict(COMPUTED.get(args.typ, {}))
        if args.typ == LOCAL_MACHINE:
            ports = args.inputs["ports"]
            computed["published"] = {inner: outer or 40_000 for inner, outer in ports.items()}
        return f"{args.name}-id", {**args.inputs, **computed}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(args.token)

    def of_type(self, suffix: str) -> dict[str, dict[str, Any]]:
        return {n: inputs for n, (typ, inputs) in self.resources.items() if typ.endswith(suffix)}


@pytest.fixture
def run() -> Callable[..., Recorder]:
    def run_with(**settings: str) -> Recorder:
        recorder = Recorder()
        asyncio.set_event_loop(asyncio.new_event_loop())
        pulumi.runtime.set_mocks(recorder, project="dairflow", stack="test")
        pulumi.runtime.set_all_config({f"dairflow:{k}": v for k, v in settings.items()})
        runpy.run_path(str(ROOT / "__main__.py"))
        asyncio.get_event_loop().run_until_complete(wait_for_rpcs())
        return recorder

    return run_with


def test_the_default_is_a_manager_and_two_workers(run: Callable[..., Recorder]) -> None:
    machines = run().of_type(":LocalMachine")
    assert set(machines) == {"manager-1", "worker-1", "worker-2"}
    assert machines["worker-2"]["container"] == "dairflow-test-worker-2"
    assert machines["manager-1"]["private_address"] == "10.213.0.11"
    assert machines["worker-1"]["private_address"] == "10.213.0.111"


def test_one_more_worker_changes_no_other_machine(run: Callable[..., Recorder]) -> None:
    before = run(workers="2").of_type(":LocalMachine")
    after = run(workers="3").of_type(":LocalMachine")
    assert set(after) - set(before) == {"worker-3"}
    assert {name: after[name] for name in before} == before


def test_only_the_first_manager_publishes_the_pages(run: Callable[..., Recorder]) -> None:
    machines = run(managers="3", webPort="18080", flowerPort="15555").of_type(":LocalMachine")
    assert machines["manager-1"]["ports"] == {"22": 0, "5000": 0, "18080": 18080, "15555": 15555}
    assert machines["manager-2"]["ports"] == {"22": 0}
    assert machines["worker-1"]["ports"] == {"22": 0}


def test_the_pages_open_to_the_operator_and_to_whom_the_settings_allow(
    run: Callable[..., Recorder],
) -> None:
    (swarm,) = run(allowedCidrs='["192.0.2.0/24"]').of_type(":Swarm").values()
    assert swarm["firewall"]["operator_cidrs"] == ["10.213.0.1/32"]
    assert swarm["firewall"]["client_cidrs"] == ["10.213.0.1/32", "192.0.2.0/24"]


def test_the_stack_is_deployed_by_digest(run: Callable[..., Recorder]) -> None:
    (stack,) = run(workersPerNode="2").of_type(":Stack").values()
    services = stack["rendered"]["document"]["services"]
    images = {service["image"] for service in services.values()}
    assert all(image.startswith("10.213.0.11:5000/") for image in images)
    assert all(f"@sha256:{'0' * 64}" in image for image in images)
    assert services["worker"]["deploy"]["replicas"] == 4


def test_no_secret_value_is_in_the_document(run: Callable[..., Recorder]) -> None:
    (stack,) = run().of_type(":Stack").values()
    values = COMPUTED["pulumi-python:dynamic/keys:Secrets"]["values"].values()
    assert not [value for value in values if value in str(stack["rendered"])]


def test_a_wrong_setting_stops_before_any_resource(run: Callable[..., Recorder]) -> None:
    with pytest.raises(pulumi.RunError, match=r"managers: '2' given"):
        run(managers="2")
