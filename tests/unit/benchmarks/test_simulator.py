"""The simulated hosts: they become a swarm by the real code, and refuse what comes out of order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from benchmarks.simulator.model import Timing, World
from benchmarks.simulator.server import Servers, Traffic, _opened_at
from infra.firewall import Policy
from infra.machines.fleet import names
from infra.remote.keys import generate_key_pair
from infra.remote.pool import SshPool
from infra.remote.rate_limit import RateLimit
from infra.remote.runner import RemoteError
from infra.swarm import facts
from infra.swarm.cluster import Cluster
from infra.swarm.errors import SwarmError
from infra.swarm.execute import Execution
from infra.swarm.gather import gather
from infra.swarm.joining import InitSwarm
from infra.swarm.node_updates import NodeChange, update_nodes
from infra.swarm.plan import plan
from infra.swarm.preparation import InstallEngine, LoadFirewall
from infra.swarm.reconcile import reconcile
from tests.unit.resources.recorder import run_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.swarm.step import Step
ROOT = Path(__file__).parents[3]
POLICY = Policy(operator_cidrs=("127.0.0.1/32",), client_cidrs=())
FAST = Timing().scaled(0.02)
INSTANT = Timing().scaled(0)


@contextlib.contextmanager
def booting(managers: int, workers: int, timing: Timing) -> Iterator[tuple[Servers, SshPool]]:
    """Hosts that begin to boot, and a pool that may connect to them as fast as it likes."""
    operator = generate_key_pair()
    world = World([name for name, _, _ in names(managers, workers)])
    servers = Servers(world, timing, operator)
    ready, done = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with servers:
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        with SshPool(operator.private, rate_limit=RateLimit(1000)) as pool:
            yield servers, pool
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


def cluster_of(servers: Servers, *leave_out: str) -> Cluster:
    machines = tuple(m for m in servers.machines if m.name not in leave_out)
    return Cluster(name="simulated", machines=machines, firewall=POLICY)


def test_ten_hosts_that_boot_become_a_swarm_over_one_connection_each() -> None:
    with booting(3, 7, FAST) as (servers, pool):
        cluster = replace(cluster_of(servers), trusted_registries={"10.40.0.1:5000": "PEM"})
        state = reconcile(cluster, pool, lambda _line: None)
        assert (state.pending, len(state.nodes)) == ((), 10)
        assert {(node.state, node.availability) for node in state.nodes} == {("ready", "active")}
        assert sum(node.role == "manager" for node in state.nodes) == 3
        assert servers.traffic.served == dict.fromkeys((m.name for m in cluster.machines), 1)
        assert len(servers.traffic.attempts) > 10, "some came while the hosts still booted"
        assert servers.traffic.failures == []


def test_a_newcomer_costs_each_member_one_firewall_and_is_not_installed_elsewhere() -> None:
    with booting(1, 4, FAST) as (servers, pool):
        reconcile(cluster_of(servers, "worker-4"), pool, lambda _line: None)
        servers.traffic.commands.clear()
        state = reconcile(cluster_of(servers), pool, lambda _line: None)
        assert (state.pending, len(state.nodes)) == ((), 5)
        assert servers.traffic.commands["# load the firewall"] == 5
        assert servers.traffic.commands["# install Docker's engine"] == 1


def test_a_leaving_node_goes(servers_and_pool: tuple[Servers, SshPool]) -> None:
    servers, pool = servers_and_pool
    whole, smaller = cluster_of(servers), cluster_of(servers, "worker-2")
    reconcile(whole, pool, lambda _line: None)
    state = reconcile(smaller, pool, lambda _line: None, leaving=(whole.machines[-1],))
    assert [node.name for node in state.nodes] == ["manager-1", "worker-1"]


@pytest.mark.parametrize(
    ("kind", "machine", "refusal"),
    [
        (InstallEngine, "manager-1", "docker: not found"),
        (InstallEngine, "worker-1", "docker: not found"),
        (LoadFirewall, "manager-1", "to manager-1, whose firewall is not loaded"),
        (LoadFirewall, "worker-1", "to worker-1, whose firewall is not loaded"),
    ],
)
def test_a_step_that_is_left_out_fails_those_that_need_it(
    servers_and_pool: tuple[Servers, SshPool], kind: type[Step], machine: str, refusal: str
) -> None:
    servers, pool = servers_and_pool
    cluster = cluster_of(servers)
    prepare, *others = plan(cluster, gather(cluster.machines, pool))
    lanes = (
        tuple(s for s in lane if not (isinstance(s, kind) and s.subject == machine))
        for lane in prepare.lanes
    )
    execution = Execution(pool, lambda _line: None, tokens={})
    with pytest.raises((RemoteError, SwarmError), match=refusal):
        execution.run([replace(prepare, lanes=tuple(lanes)), *others])


def test_a_newcomer_that_a_manager_s_firewall_does_not_list_is_refused(
    servers_and_pool: tuple[Servers, SshPool],
) -> None:
    servers, pool = servers_and_pool
    reconcile(cluster_of(servers, "worker-2"), pool, lambda _line: None)
    cluster = cluster_of(servers)
    facts = gather(cluster.machines, pool)
    manager = facts["manager-1"]
    prepare, *others = plan(cluster, facts)
    lanes = tuple(lane for lane in prepare.lanes if lane[0].subject != "manager-1")
    tokens = {"worker": manager.worker_token, "manager": manager.manager_token}
    with pytest.raises(RemoteError, match="manager-1, whose firewall does not let it in"):
        Execution(pool, lambda _line: None, tokens=tokens).run(
            [replace(prepare, lanes=lanes), *others]
        )


def test_a_host_answers_like_a_real_one_or_not_at_all(
    servers_and_pool: tuple[Servers, SshPool],
) -> None:
    servers, pool = servers_and_pool
    cluster = cluster_of(servers)
    manager, worker = (pool.runner(machine) for machine in cluster.machines[:2])
    reconcile(cluster, pool, lambda _line: None)
    change = NodeChange(name="worker-1", node_id="nobody", activate=True)
    for runner, command, refusal in (
        (manager, InitSwarm(machine=manager.machine).command, "already part"),
        (manager, update_nodes((change,), {}), "node nobody not found"),
        (worker, update_nodes((change,), {}), "not a swarm manager"),
        (worker, "docker service ls", "does not know this command"),
    ):
        with pytest.raises(RemoteError, match=refusal):
            runner.run(command)


def test_a_booting_host_does_not_answer() -> None:
    with booting(1, 0, replace(INSTANT, boot=60)) as (servers, pool):
        with pytest.raises(RemoteError, match="waited 1 s for SSH"):
            pool.runner(servers.machines[0], timeout=1)
        assert len(servers.traffic.attempts) == 1
        assert servers.traffic.served == {}


def test_the_busiest_second_is_counted_in_any_order() -> None:
    assert Traffic(attempts=[3.0, 0.5, 0.0, 1.0, 1.4]).peak_per_second() == 3


def test_a_connection_counts_from_its_opening_however_late_it_is_accepted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        begun = time.monotonic()
        with socket.create_connection(server.getsockname()):
            time.sleep(0.3)
            accepted, _ = server.accept()
            with accepted:
                assert abs(_opened_at(accepted) - begun) < 0.2


def test_every_exchange_takes_a_round_trip() -> None:
    with booting(1, 0, replace(INSTANT, round_trip=0.1)) as (servers, pool):
        runner = pool.runner(servers.machines[0])
        begun = time.monotonic()
        runner.run(facts.SCRIPT)
        assert time.monotonic() - begun >= 0.2, "one to open a session, one for the command"


def test_the_benchmark_s_program_makes_the_swarm_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = {"machines": [{"name": "manager-1", "private_address": "10.40.0.1"}]}
    (tmp_path / "fleet.json").write_text(json.dumps({**fleet, "private_key": "key"}))
    monkeypatch.setenv("DAIRFLOW_SCALE_FLEET", str(tmp_path / "fleet.json"))
    made: dict[str, dict[str, Any]] = {}

    class Mocks(pulumi.runtime.Mocks):
        def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
            made[args.typ] = args.inputs
            return args.name, {**args.inputs, "authority": "PEM", "nodes": []}

        def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
            raise AssertionError(args.token)

    run_program(Mocks(), {}, ROOT / "benchmarks" / "scale_program" / "__main__.py")
    swarm = made["pulumi-python:dynamic/swarm:Swarm"]
    assert [machine["name"] for machine in swarm["machines"]] == ["manager-1"]
    assert swarm["trusted_registries"] == {"10.40.0.1:5000": "PEM"}


@pytest.fixture
def servers_and_pool() -> Iterator[tuple[Servers, SshPool]]:
    with booting(1, 2, INSTANT) as pair:
        yield pair
