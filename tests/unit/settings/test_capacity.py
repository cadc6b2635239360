"""What cannot work is refused at preview, with every figure; what can is permitted."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from infra.machines.addresses import CANDIDATE_NETWORKS, address
from infra.machines.local.engine import NETWORK_PREFIX
from infra.settings.model import MAX_WORKER_NODES
from infra.settings.parse import SettingsError
from infra.stack import network
from infra.stack.network import Demand, NoSubnetError, choose
from tests.unit.parsed import parse

LARGEST = {"workers": "500", "workersPerNode": "16", "workerConcurrency": "1"}


def refusal(**raw: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(raw)
    return str(caught.value)


def test_more_tasks_than_the_queue_serves_are_refused_with_every_figure() -> None:
    printed = refusal(workers="50", workersPerNode="16", workerConcurrency="256")
    assert "workerConcurrency: '256' is not valid. Use fewer tasks at the same time" in printed
    assert "50 worker nodes x 16 workersPerNode x 256 workerConcurrency = 204,800." in printed
    assert (
        "Redis, the queue, would have 208,900 clients (204,800 tasks, 5 for each of 800 Celery"
        " workers, 100 others), but accepts 10,000"
    ) in printed


@pytest.mark.parametrize(
    "raw",
    [
        {"workers": "50", "workersPerNode": "16", "workerConcurrency": "4"},
        {"workers": "500", "workerConcurrency": "8"},
        {"workers": "35", "workerConcurrency": "256"},
        {"overlayNetwork": "10.192.0.0/24"},
    ],
)
def test_large_clusters_that_work_are_permitted(raw: dict[str, str]) -> None:
    parse(raw)


def test_every_cluster_that_is_permitted_has_a_network() -> None:
    """The largest number of containers that Redis lets through."""
    with pytest.raises(SettingsError):
        parse(LARGEST)
    workers = 1_600
    parse({"workers": "100", "workersPerNode": "16", "workerConcurrency": "1", "managers": "7"})
    demand = Demand(managers=7, worker_nodes=100, workers=workers)
    subnet = choose(demand, ["10.80.0.10"])
    assert network.capacity(subnet) >= demand.addresses > workers * 1.5


def test_hosts_are_counted_if_they_are_a_list() -> None:
    hosts = [{"name": f"w{n}", "address": f"192.0.2.{n}", "role": "worker"} for n in range(1, 101)]
    printed = refusal(target="existing", hosts=hosts, workersPerNode="16", workerConcurrency="64")
    assert "100 worker nodes x 16 workersPerNode x 64 workerConcurrency = 102,400" in printed


def test_a_network_that_is_too_small_is_refused_with_every_figure() -> None:
    printed = refusal(workers="50", workersPerNode="16", overlayNetwork="10.192.0.0/22")
    assert "overlayNetwork: '10.192.0.0/22' is not valid. Use a network with 1,281" in printed
    assert "800 for Celery workers" in printed
    assert "415 for tasks that an update replaces" in printed
    assert "10.192.0.0/22 has 1,021" in printed


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"overlayNetwork": "10.192.0.0"}, "a private IPv4 network of /16 to /24"),
        ({"overlayNetwork": "10.192.0.0/8"}, "a private IPv4 network of /16 to /24"),
        ({"overlayNetwork": "10.192.0.1/20"}, "a private IPv4 network of /16 to /24"),
        ({"overlayNetwork": "8.8.0.0/20"}, "a private IPv4 network of /16 to /24"),
        ({"overlayNetwork": "here"}, "a private IPv4 network of /16 to /24"),
        ({"overlayNetwork": "172.17.0.0/20"}, "not overlap 172.17.0.0/16: Docker's own bridges"),
        ({"overlayNetwork": "192.168.16.0/20"}, "Docker's own bridges come from it"),
        ({"overlayNetwork": "10.0.0.0/20"}, "the swarm's ingress network is there"),
        ({"overlayNetwork": "10.213.0.0/20"}, "the nodes of target local are there"),
        (
            {"overlayNetwork": "10.80.16.0/20", "target": "aws", "allowedCidrs": ["192.0.2.1/32"]},
            "it is awsVpcCidr, the network of the machines",
        ),
        (
            {
                "overlayNetwork": "10.20.0.0/20",
                "target": "existing",
                "hosts": [{"name": "m1", "address": "10.20.1.7", "role": "manager"}],
            },
            "the host m1 is there",
        ),
    ],
)
def test_a_network_that_collides_is_refused(raw: dict[str, Any], expected: str) -> None:
    assert expected in refusal(**raw)


def test_all_of_it_is_reported_at_once() -> None:
    printed = refusal(
        workers="50",
        workersPerNode="16",
        workerConcurrency="256",
        overlayNetwork="10.213.0.0/24",
        webPort="x",
    )
    for key in ("workerConcurrency", "overlayNetwork", "webPort"):
        assert f"  {key}: " in printed


@pytest.mark.parametrize(
    "machine", ["10.192.3.4", "172.16.0.5", "100.112.0.9", "10.0.0.5", "192.0.2.1"]
)
def test_the_chosen_network_is_clear_of_the_machines(machine: str) -> None:
    subnet = IPv4Network(choose(Demand(managers=1, worker_nodes=2, workers=2), [machine]))
    assert IPv4Address(machine) not in subnet


def test_if_every_network_is_taken_the_setting_is_named() -> None:
    machines = ["10.192.0.10", "172.16.0.10", "100.112.0.10"]
    with pytest.raises(NoSubnetError, match="pulumi config set overlayNetwork"):
        choose(Demand(managers=1, worker_nodes=2, workers=2), machines)


def test_a_local_network_has_an_address_for_every_permitted_worker() -> None:
    subnet = next(CANDIDATE_NETWORKS.subnets(new_prefix=NETWORK_PREFIX))
    last = address(str(subnet), "worker", MAX_WORKER_NODES)
    assert IPv4Address(last) in subnet
