"""Reconciling against scripted machines: order, errors, and what never leaks."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra.remote.runner import Completed, RemoteError
from infra.swarm.dismantle import dismantle
from infra.swarm.errors import SwarmError, SwarmNotFoundError, SwarmUnreachableError
from infra.swarm.observe import observe
from infra.swarm.reconcile import reconcile
from infra.swarm.release import Release
from infra.swarm.side_by_side import side_by_side
from tests.fake_remote import FakePool, FakeRunner

if TYPE_CHECKING:
    from conftest import World

    from infra.remote.machine import Machine
    from infra.swarm.cluster import Cluster

FACTS = """== hostname
{name}
== ssh
203.0.113.7 1 {address} 22
== addresses
[{{"mtu":1450,"addr_info":[{{"local":"{address}"}}]}}]
== nft
/usr/sbin/nft
== firewall
== trust
== engine
running
== info
"26.1.5" "inactive" false "" "" "" null ""
"""


def tell_fresh(machine: Machine) -> FakeRunner:
    facts = FACTS.format(name=machine.name, address=machine.private_address)
    return FakeRunner(machine).on("== %s", facts).on("nft -f", "")


@pytest.fixture
def pool() -> FakePool:
    return FakePool(tell_fresh)


@pytest.fixture
def cluster(world: World) -> Cluster:
    world.machine("manager-1")
    world.machine("worker-1")
    return world.cluster("manager-1", "worker-1")


def ignore(_line: str) -> None:
    pass


def test_a_failed_step_stops_what_follows(cluster: Cluster, pool: FakePool) -> None:
    manager = pool.runner(cluster.machines[0])
    manager.on("swarm init", Completed(stdout="", stderr="no such address", exit_status=1))
    with pytest.raises(RemoteError, match=r"(?s)manager-1 .*swarm init.*no such address"):
        reconcile(cluster, pool, ignore)
    worker = pool.runner(cluster.machines[1])
    assert not [command for command in worker.commands if "dial-stdio" in command]


def test_a_refused_join_names_the_machine_and_keeps_the_token(
    cluster: Cluster, pool: FakePool
) -> None:
    manager, worker = (pool.runner(machine) for machine in cluster.machines)
    manager.on("swarm init", "id-1\nSWMTKN-worker\nSWMTKN-manager\n")
    worker.on("dial-stdio", 'HTTP/1.1 503 No\r\n\r\n{"message":"remote CA does not match"}\n\n\n')
    with pytest.raises(RemoteError, match="remote CA does not match") as caught:
        reconcile(cluster, pool, ignore)
    assert "worker-1" in str(caught.value)
    assert "10.9.0.11:2377" in str(caught.value)
    assert "SWMTKN" not in str(caught.value)
    assert all("SWMTKN" not in command for command in manager.commands + worker.commands)
    (join,) = [call for call in worker.calls if "dial-stdio" in call.command]
    assert b"SWMTKN-worker" in (join.stdin or b"")


def test_a_wanted_machine_that_is_silent_is_an_error_before_any_change(
    cluster: Cluster, pool: FakePool
) -> None:
    pool.silent = {"worker-1"}
    with pytest.raises(
        SwarmError, match=r"(?s)worker-1 .*and worker-1 did not answer\. .* --refresh`"
    ):
        reconcile(cluster, pool, ignore)
    manager = pool.runner(cluster.machines[0])
    assert all("== %s" in command for command in manager.commands)
    hosts = replace(cluster, release=Release(stack="airflow"))
    with pytest.raises(SwarmError, match=r"(?s)worker-1 .*remove it from `hosts`"):
        reconcile(hosts, pool, ignore)


def test_a_removal_of_the_first_manager_is_never_reported(cluster: Cluster, pool: FakePool) -> None:
    hosts = replace(cluster, release=Release(stack="airflow"))
    pool.silent = {"manager-1"}
    with pytest.raises(SwarmError) as caught:
        reconcile(hosts, pool, ignore)
    assert "remove it from `hosts` and run" not in str(caught.value)
    assert "manager-1 is the first manager." in str(caught.value)
    assert "start it again. If its disk is lost, so is the database" in str(caught.value)
    pool.silent = {"manager-1", "worker-1"}
    with pytest.raises(SwarmError, match=r"start it again\. .*\nAnother host .*: remove it from"):
        reconcile(hosts, pool, ignore)


def test_all_silent_machines_are_named_at_once(cluster: Cluster, pool: FakePool) -> None:
    pool.silent = {"manager-1", "worker-1"}
    with pytest.raises(SwarmError, match=r"(?s)manager-1.*worker-1"):
        reconcile(cluster, pool, ignore)


def test_a_lost_race_with_the_node_s_own_updates_is_tried_again(
    trio: World, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    trio.machines["worker-1"] = replace(trio.machines["worker-1"], labels={"gpu": "1"})
    cluster = trio.cluster("manager-1", "worker-1", "worker-2")
    observed = trio.observed(cluster)
    labelled = replace(trio.nodes["worker-1"], labels={**trio.nodes["worker-1"].labels, "gpu": "1"})
    trio.nodes["worker-1"] = labelled
    after = trio.observed(cluster)
    answers = iter([observed, after])
    monkeypatch.setattr("infra.swarm.reconcile.gather", lambda *_a, **_k: dict(next(answers, {})))
    monkeypatch.setattr("infra.swarm.reconcile._gather_leaving", lambda *_a: {})
    race = Completed(stdout="", stderr="rpc error: update out of sequence", exit_status=1)
    manager = pool.runner(cluster.machines[0]).on("docker node update", race, "")
    state = reconcile(cluster, pool, ignore)
    assert len([c for c in manager.commands if "--label-add gpu=1" in c]) == 2
    assert state.pending == ()


def test_observing_needs_a_manager(cluster: Cluster, pool: FakePool) -> None:
    with pytest.raises(SwarmNotFoundError, match="the swarm is lost"):
        observe(cluster, pool)
    pool.silent = {"manager-1"}
    with pytest.raises(SwarmUnreachableError, match=r"^manager-1: does not answer$"):
        observe(cluster, pool)


@pytest.mark.parametrize(
    ("known", "facts", "reason"),
    [
        ("running", "stopped", "its Docker engine does not run"),
        ('"inactive"', '"pending"', "is not back in its swarm"),
    ],
)
def test_a_swarm_is_not_gone_whose_manager_is_not_back(
    cluster: Cluster, pool: FakePool, known: str, facts: str, reason: str
) -> None:
    manager = cluster.managers[0]
    text = FACTS.format(name=manager.name, address=manager.private_address).replace(known, facts)
    if facts == "stopped":
        text = text.partition("== info")[0]
    pool.runner(manager).on("== %s", text)
    with pytest.raises(SwarmUnreachableError, match=rf"^manager-1: {reason}$"):
        observe(cluster, pool)


def test_a_swarm_is_not_gone_while_one_of_its_managers_is_silent(
    world: World, pool: FakePool
) -> None:
    for name in ("manager-1", "manager-2", "manager-3"):
        world.machine(name)
    pool.silent = {"manager-2"}
    with pytest.raises(SwarmUnreachableError, match=r"^manager-2: does not answer$"):
        observe(world.cluster("manager-1", "manager-2", "manager-3"), pool)


def test_dismantling_cleans_who_answers_and_names_who_does_not(
    cluster: Cluster, pool: FakePool
) -> None:
    pool.silent = {"worker-1"}
    manager = pool.runner(cluster.machines[0]).on("nft delete table", "")
    assert dismantle(cluster, pool, ignore) == ("worker-1",)
    assert "nft delete table" in manager.commands[-1]
    assert not [command for command in manager.commands if "swarm leave" in command]


def test_a_host_with_a_stopped_engine_keeps_its_owner_s_marks(
    cluster: Cluster, pool: FakePool
) -> None:
    """Its swarm is on its disk; only who starts the engine can empty it."""
    stopped = FACTS.format(name="worker-1", address="10.9.0.101").replace("running", "stopped")
    stopped = stopped.partition("== info")[0] + "== info\n== nodes\n== tokens\n"
    worker = pool.runner(cluster.machines[1]).on("== %s", stopped)
    pool.runner(cluster.machines[0]).on("nft delete table").on("restore the machine")
    hosts = replace(cluster, release=Release(stack="airflow"))
    lines: list[str] = []
    assert dismantle(hosts, pool, lines.append) == ("worker-1",)
    assert lines[0] == "worker-1: nothing is torn down there, because its engine does not run"
    assert len(worker.commands) == 1


def test_an_engine_on_its_way_back_is_awaited(
    trio: World, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = trio.cluster("manager-1", "worker-1", "worker-2")
    observed = trio.observed(cluster)
    before = {**observed, "worker-1": replace(observed["worker-1"], swarm_state="pending")}
    answers = iter([before, observed])
    monkeypatch.setattr("infra.swarm.reconcile.gather", lambda *_a, **_k: dict(next(answers, {})))
    monkeypatch.setattr("infra.swarm.reconcile._gather_leaving", lambda *_a: {})
    monkeypatch.setattr("infra.swarm.reconcile._LONGEST_PAUSE_SECONDS", 0.01)
    lines: list[str] = []
    assert reconcile(cluster, pool, lines.append).pending == ()
    assert lines == ["worker-1: rejoining the swarm (at most 45 s)"]


def test_a_manager_that_was_just_promoted_is_awaited(
    trio: World, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others list it as a manager before it can act: no step may go through it until then."""
    cluster = trio.cluster("manager-1", "worker-1", "worker-2")
    observed = trio.observed(cluster)
    mute = replace(observed["manager-1"], cluster_id="", nodes=())
    answers = iter([{**observed, "manager-1": mute}, observed])
    other = {"manager-2": observed["manager-1"]}
    monkeypatch.setattr("infra.swarm.reconcile.gather", lambda *_a, **_k: dict(next(answers, {})))
    monkeypatch.setattr("infra.swarm.reconcile._gather_leaving", lambda *_a: other)
    monkeypatch.setattr("infra.swarm.reconcile._LONGEST_PAUSE_SECONDS", 0.01)
    lines: list[str] = []
    assert reconcile(cluster, pool, lines.append).pending == ()
    assert lines == ["manager-1: rejoining the swarm (at most 45 s)"]


def test_no_more_calls_run_at_once_than_the_limit() -> None:
    three = threading.Barrier(3, timeout=10)
    running: set[int] = set()
    peaks: list[int] = []

    def call() -> None:
        running.add(threading.get_ident())
        three.wait()
        peaks.append(len(running))
        three.wait()
        running.discard(threading.get_ident())

    side_by_side([call] * 9, at_once=3)
    assert peaks == [3] * 9
