"""The membership of a machine: none, ours, stale or foreign."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra.swarm.errors import SwarmError, SwarmUnreachableError
from infra.swarm.membership import assess

if TYPE_CHECKING:
    from conftest import World

TRIO = ("manager-1", "worker-1", "worker-2")


def test_everyone_is_a_member(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    membership = assess(cluster, trio.observed(cluster), cluster_id="ours")
    assert set(membership.members) == set(TRIO)
    assert membership.manager == trio.machines["manager-1"]
    assert (membership.departing, membership.stale_nodes, membership.lost) == ({}, (), frozenset())


def test_nobody_is_in_a_swarm(world: World) -> None:
    world.machine("manager-1")
    cluster = world.cluster("manager-1")
    membership = assess(cluster, world.observed(cluster))
    assert membership.manager is None
    assert membership.cluster_id == ""


def test_a_manager_of_another_swarm_is_refused_by_id(trio: World) -> None:
    trio.machine("manager-2")
    cluster = trio.cluster(*TRIO, "manager-2")
    facts = trio.observed(cluster)
    facts["manager-2"] = replace(
        facts["manager-2"], swarm_state="active", node_id="x", cluster_id="theirs"
    )
    with pytest.raises(
        SwarmError, match="manager of swarm theirs, but this cluster's swarm is ours"
    ):
        assess(cluster, facts, cluster_id="ours")
    with pytest.raises(SwarmError, match=r"(?s)manager-2 .*swarm leave --force"):
        assess(cluster, facts)


def test_the_swarm_of_the_last_run_is_not_swapped_for_another(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    with pytest.raises(
        SwarmError, match="manager of swarm ours, but this cluster's swarm is before"
    ):
        assess(cluster, trio.observed(cluster), cluster_id="before")


def test_a_worker_of_other_managers_is_refused(trio: World) -> None:
    trio.machine("worker-3")
    cluster = trio.cluster(*TRIO, "worker-3")
    facts = trio.observed(cluster)
    facts["worker-3"] = replace(
        facts["worker-3"], swarm_state="active", node_id="x", remote_managers=("192.0.2.1",)
    )
    with pytest.raises(SwarmError, match=r"worker-3 .*in the swarm of 192\.0\.2\.1"):
        assess(cluster, facts)


def test_a_worker_that_our_managers_no_longer_list_is_stale(trio: World) -> None:
    trio.machine("worker-3")
    cluster = trio.cluster(*TRIO, "worker-3")
    facts = trio.observed(cluster)
    facts["worker-3"] = replace(
        facts["worker-3"], swarm_state="active", node_id="old", remote_managers=("10.9.0.11",)
    )
    assert assess(cluster, facts).lost == {"worker-3"}


def test_a_manager_that_cannot_act_is_never_made_to_forget_its_swarm(trio: World) -> None:
    """After a restart it is pending until enough others are back; its disk has the swarm."""
    cluster = trio.cluster(*TRIO)
    facts = trio.observed(cluster)
    facts["manager-1"] = replace(
        facts["manager-1"],
        swarm_state="pending",
        cluster_id="",
        nodes=(),
        node_address="10.9.0.11",
        remote_managers=("10.9.0.11", "10.9.0.12"),
    )
    with pytest.raises(SwarmError, match=r"manager-1 .*cannot act as one now \(state pending\)"):
        assess(cluster, facts)


def test_a_swarm_without_quorum_is_reported_with_a_recovery_hint(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    facts = trio.observed(cluster)
    facts["manager-1"] = replace(
        facts["manager-1"], nodes=(), nodes_error="The swarm does not have a leader"
    )
    with pytest.raises(SwarmUnreachableError, match="does not have a leader") as caught:
        assess(cluster, facts)
    assert "--force-new-cluster --advertise-addr 10.9.0.11" in str(caught.value)


def test_another_manager_is_used_if_the_first_is_unreachable(trio: World) -> None:
    trio.joined("manager-2")
    trio.joined("manager-3")
    cluster = trio.cluster("manager-1", "manager-2", "manager-3", "worker-1", "worker-2")
    facts = trio.observed(cluster)
    facts["manager-1"] = replace(facts["manager-1"], nodes=(), nodes_error="not now")
    assert assess(cluster, facts).manager == trio.machines["manager-2"]


def test_a_leaving_manager_is_used_if_no_desired_one_exists_yet(trio: World) -> None:
    trio.machine("manager-2")
    cluster = trio.cluster("manager-2", "worker-1", "worker-2")
    membership = assess(cluster, trio.observed(cluster), leaving=(trio.machines["manager-1"],))
    assert membership.manager == trio.machines["manager-1"]
    assert set(membership.departing) == {"manager-1"}
