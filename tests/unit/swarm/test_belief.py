"""A worker is never believed to be a manager, nor which node it is, unless the record says so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra.remote.runner import RemoteError
from infra.swarm.errors import SwarmError, SwarmNotFoundError, SwarmUnreachableError
from infra.swarm.joining import Join
from infra.swarm.membership import assess
from infra.swarm.observe import observe
from infra.swarm.plan import plan
from infra.swarm.reconcile import reconcile
from infra.swarm.roles import Demote
from tests.fake_remote import FakePool, FakeRunner

if TYPE_CHECKING:
    from conftest import World

    from infra.remote.machine import Machine
    from infra.swarm.facts import MachineFacts
    from infra.swarm.step import Stage, Step

TRIO = ("manager-1", "worker-1", "worker-2")
FRESH = """== hostname
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
"""
OUTSIDE = '"26.1.5" "inactive" false "" "" "" null ""\n'
LIE = """"26.1.5" "active" true "id-{name}" "{address}" "" \
[{{"NodeID":"id-{name}","Addr":"{address}:2377"}}] "{swarm}"
== nodes
"id-{name}" "{name}" "manager" "active" "ready" "{address}" {{}} "26.1.5" \
{{"Leader":true,"Reachability":"reachable"}}
== tokens
SWMTKN-lie-worker
SWMTKN-lie-manager
"""


def answers(*liars: str, swarm: str = "theirs") -> FakePool:
    """Machines that are in no swarm, but for those that report that they are the manager of one."""

    def make(machine: Machine) -> FakeRunner:
        info = LIE if machine.name in liars else OUTSIDE
        text = FRESH + info
        printed = text.format(name=machine.name, address=machine.private_address, swarm=swarm)
        return FakeRunner(machine).on("== %s", printed)

    return FakePool(make)


def lying(facts: MachineFacts, node_id: str, swarm: str) -> MachineFacts:
    """Return a worker's facts with what only a manager reports."""
    return replace(
        facts,
        swarm_state="active",
        node_id=node_id,
        cluster_id=swarm,
        worker_token="SWMTKN-lie",
        manager_token="SWMTKN-lie",
    )


def commands(pool: FakePool) -> list[str]:
    return [c for runner in pool.runners.values() for c in runner.commands if "== %s" not in c]


def test_at_creation_nobody_joins_a_worker_s_swarm(world: World) -> None:
    for name in TRIO:
        world.machine(name)
    pool = answers("worker-1")
    with pytest.raises(
        SwarmError, match=r"^worker-1 .*it is a manager of swarm theirs, which is not this"
    ):
        reconcile(world.cluster(*TRIO), pool, print)
    assert commands(pool) == []


def test_nor_one_that_is_reported_as_the_recorded_swarm(world: World) -> None:
    for name in TRIO:
        world.machine(name)
    pool = answers("worker-1", swarm="ours")
    with pytest.raises(SwarmError, match=r"^worker-1 .*it is a manager of swarm ours"):
        reconcile(world.cluster(*TRIO), pool, print, cluster_id="ours")
    assert commands(pool) == []


def test_a_worker_s_word_keeps_no_swarm_alive(world: World) -> None:
    for name in TRIO:
        world.machine(name)
    pool = answers("worker-1", swarm="ours")
    with pytest.raises(SwarmNotFoundError):
        observe(world.cluster(*TRIO), pool, cluster_id="ours")
    pool.silent = {"manager-1"}
    with pytest.raises(SwarmUnreachableError, match=r"^manager-1: does not answer$"):
        observe(world.cluster(*TRIO), pool, cluster_id="ours")


def test_tokens_and_nodes_are_the_managers(trio: World, monkeypatch: pytest.MonkeyPatch) -> None:
    trio.machine("worker-3")
    cluster = trio.cluster(*TRIO, "worker-3")
    observed = trio.observed(cluster, members=[trio.machines[name] for name in TRIO])
    observed["manager-1"] = replace(observed["manager-1"], worker_token="SWMTKN-true")
    liar = replace(
        lying(observed["worker-1"], "id-worker-1", "ours"), nodes=observed["manager-1"].nodes
    )
    facts = {"worker-1": liar, **{k: v for k, v in observed.items() if k != "worker-1"}}
    assert assess(cluster, facts).manager == trio.machines["manager-1"]
    assert [s.machine.name for s in steps(plan(cluster, facts)) if isinstance(s, Join)] == [
        "worker-3"
    ]

    monkeypatch.setattr("infra.swarm.reconcile.gather", lambda *_a, **_k: dict(facts))
    monkeypatch.setattr("infra.swarm.reconcile._gather_leaving", lambda *_a: {})
    pool = FakePool(lambda machine: FakeRunner(machine).on("nft -f").on("dial-stdio", "HTTP/1.1 5"))
    with pytest.raises(RemoteError, match="joined the swarm"):
        reconcile(cluster, pool, print)
    (join,) = [c for c in pool.runners["worker-3"].calls if "dial-stdio" in c.command]
    assert b"SWMTKN-true" in (join.stdin or b"")


def test_a_worker_that_somebody_promoted_is_one_by_the_managers_word(trio: World) -> None:
    """Its own is not needed: it is listed, so it becomes a worker again."""
    trio.nodes["worker-1"] = replace(
        trio.nodes["worker-1"], role="manager", reachability="reachable"
    )
    cluster = trio.cluster(*TRIO)
    facts = trio.observed(cluster)
    assert assess(cluster, facts).manager == trio.machines["manager-1"]
    assert [s.name for s in steps(plan(cluster, facts)) if isinstance(s, Demote)] == ["worker-1"]


def test_a_worker_that_the_last_run_left_as_manager_is_believed(trio: World) -> None:
    trio.nodes["worker-1"] = replace(
        trio.nodes["worker-1"], role="manager", reachability="reachable"
    )
    cluster = trio.cluster(*TRIO)
    facts = trio.observed(cluster)
    facts["manager-1"] = replace(facts["manager-1"], nodes=(), nodes_error="not now")
    with pytest.raises(SwarmUnreachableError, match="not now"):
        assess(cluster, facts)
    recorded = replace(cluster, former_managers=frozenset({"manager-1", "worker-1"}))
    assert assess(recorded, facts).manager == trio.machines["worker-1"]


@pytest.mark.parametrize("other", ["manager-1", "worker-2"])
def test_a_machine_is_not_another_s_node(trio: World, other: str) -> None:
    """The labels of that one would be set: the first manager's labels place the database."""
    cluster = trio.cluster(*TRIO)
    facts = trio.observed(cluster)
    facts["worker-1"] = replace(facts["worker-1"], node_id=f"id-{other}")
    with pytest.raises(
        SwarmError, match=rf"it reports the node ID id-{other}, which .* reports too"
    ):
        plan(cluster, facts)


def test_a_machine_that_is_called_something_else_now_keeps_its_node(trio: World) -> None:
    renamed = trio.machine("worker-7")
    cluster = trio.cluster("manager-1", "worker-2", "worker-7")
    leaving = trio.machines["worker-1"]
    facts = trio.observed(trio.cluster(*TRIO), members=[*cluster.machines])
    facts["worker-7"] = replace(facts["worker-1"], mtus={renamed.private_address: 1500})
    facts["worker-7"] = replace(facts["worker-7"], node_address="")
    assert assess(cluster, facts, leaving=(leaving,)).members["worker-7"].node_id == "id-worker-1"


def test_a_newcomer_that_reports_another_node_s_id_gets_no_label(
    trio: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    newcomer = trio.machine("worker-3")
    cluster = trio.cluster(*TRIO, "worker-3")
    observed = trio.observed(cluster, members=[*cluster.machines])
    monkeypatch.setattr("infra.swarm.reconcile.gather", lambda *_a, **_k: dict(observed))
    monkeypatch.setattr("infra.swarm.reconcile._gather_leaving", lambda *_a: {})
    pool = FakePool(lambda machine: FakeRunner(machine).on("nft -f").on("docker node update"))
    pool.runner(newcomer).on("dial-stdio", "HTTP/1.1 200 OK\r\n\r\n\nid-manager-1\n")
    with pytest.raises(RemoteError, match=r"worker-3 .*id-manager-1, which is that of"):
        reconcile(cluster, pool, print)
    assert not [c for c in commands(pool) if "node update" in c]


def steps(stages: tuple[Stage, ...]) -> list[Step]:
    return [step for stage in stages for lane in stage.lanes for step in lane]
