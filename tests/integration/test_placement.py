"""A stack's network and its tasks' places, on real nodes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from infra.stack import engine, network
from infra.stack.placement import NEW_SECONDS, causes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Trio

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PROBE_IMAGE = "dairflow/probe:latest"
STACK = "places"
SUBNET = "10.192.0.0/28"
WAIT_SECONDS = 120
LACKING_MEMORY = 1024**4
CONTAINERS_MEMORY = 64 * 1024
"""What a container has of /dev/shm by itself, in KiB."""


@pytest.fixture(scope="module")
def deployed(trio: Trio, probe_image: bytes) -> Iterator[Trio]:
    """More tasks than the network has addresses for, and some that no node can run."""
    trio.load(probe_image, *trio.cluster.machines)
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    memory = [m for m in compose["services"]["postgres"]["volumes"] if isinstance(m, dict)]
    sleep = {"image": PROBE_IMAGE, "command": ["sleep", "infinity"], "stop_grace_period": "1s"}
    document: dict[str, Any] = {
        "version": "3.12",
        "services": {
            "first": {**sleep, "volumes": memory, "deploy": {"endpoint_mode": "dnsrr"}},
            "large": {
                **sleep,
                "deploy": {
                    "endpoint_mode": "dnsrr",
                    "resources": {"reservations": {"memory": str(LACKING_MEMORY)}},
                },
            },
            "unfit": {
                **sleep,
                "deploy": {
                    "endpoint_mode": "dnsrr",
                    "placement": {"constraints": ["node.labels.none == true"]},
                },
            },
        },
        "networks": {
            network.NETWORK: {"driver": "overlay", "ipam": {"config": [{"subnet": SUBNET}]}}
        },
    }
    runner = trio.lab.pool.runner(trio.manager)
    deploy(trio, document)
    wait_for(trio, "first 1/1")
    document["services"]["many"] = {
        **sleep,
        "deploy": {"endpoint_mode": "dnsrr", "replicas": network.capacity(SUBNET)},
    }
    deploy(trio, document)
    yield trio
    trio.docker(f"stack rm {STACK}")
    deadline = time.monotonic() + WAIT_SECONDS
    while engine.orphans(runner, STACK) and time.monotonic() < deadline:
        time.sleep(0.5)


def deploy(trio: Trio, document: dict[str, Any]) -> None:
    trio.lab.run(
        trio.manager,
        f"docker stack deploy --resolve-image never -c - {STACK}",
        stdin=json.dumps(document).encode(),
        timeout=60,
    )


def wait_for(trio: Trio, line: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while line not in trio.docker(
        f"stack services --format '{{{{.Name}}}} {{{{.Replicas}}}}' {STACK}"
    ).replace(f"{STACK}_", ""):
        assert time.monotonic() < deadline, trio.docker(f"stack ps --no-trunc {STACK}")
        time.sleep(0.5)


def test_the_network_is_the_one_that_was_asked_for(deployed: Trio) -> None:
    runner = deployed.lab.pool.runner(deployed.manager)
    assert engine.network_subnet(runner, STACK, network.NETWORK) == SUBNET
    assert engine.network_subnet(runner, STACK, "none") == ""


def test_the_swarm_mounts_the_memory_of_the_compose_file(deployed: Trio) -> None:
    for machine in deployed.cluster.machines:
        container = deployed.lab.run(machine, f"docker ps -qf name={STACK}_first").strip()
        if container:
            mounts = deployed.lab.run(
                machine, f"cat /proc/$(docker inspect -f '{{{{.State.Pid}}}}' {container})/mounts"
            )
            (line,) = [line for line in mounts.splitlines() if " /dev/shm " in line]
            assert f"size={CONTAINERS_MEMORY}k" not in line
            return
    pytest.fail("the service runs nowhere")


def test_the_causes_are_named(deployed: Trio) -> None:
    """The swarm itself reports nothing about addresses: the tasks stay `New` without an error."""
    runner = deployed.lab.pool.runner(deployed.manager)
    deadline = time.monotonic() + WAIT_SECONDS + NEW_SECONDS
    reported: list[str] = []
    while not any("many" in line for line in reported):
        assert time.monotonic() < deadline, deployed.docker(f"stack ps --no-trunc {STACK}")
        time.sleep(1)
        reported = causes(engine.snapshot(runner, STACK))
    (many,) = [line for line in reported if line.startswith("many: ")]
    assert many.endswith("no node: no address is left in its network")
    (large,) = [line for line in reported if line.startswith("large: ")]
    assert "3 nodes with too little memory or CPU left" in large
    assert "(the task reserves 1024.00 GiB of memory)" in large
    (unfit,) = [line for line in reported if line.startswith("unfit: ")]
    assert "3 nodes that the constraint node.labels.none == true excludes" in unfit
