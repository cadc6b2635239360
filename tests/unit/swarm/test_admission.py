"""What is refused before anything is changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from infra.firewall import Policy
from infra.swarm.errors import SwarmError
from infra.swarm.plan import plan
from infra.swarm.release import Release

if TYPE_CHECKING:
    from conftest import World

    from infra.remote.machine import Role

TRIO = ("manager-1", "worker-1", "worker-2")


@pytest.mark.parametrize(
    ("changes", "objection"),
    [
        ({"ssh_client": "198.51.100.9"}, r"would lock you out.*198\.51\.100\.9.*\nNext: add"),
        ({"ssh_client": "2001:db8::7"}, "would lock you out"),
        ({"mtus": {"10.1.1.1": 1500}}, r"set as its private address, but it has 10\.1\.1\.1"),
        ({"engine": "missing", "os_family": ("fedora",)}, "packages on Debian and Ubuntu only"),
        ({"has_nft": False, "os_family": ()}, "this is unknown"),
        ({"swarm_state": "locked"}, "docker swarm unlock"),
        ({"node_address": "10.9.0.77"}, r"in the swarm with the address 10\.9\.0\.77"),
    ],
)
def test_a_machine_is_refused(trio: World, changes: dict[str, Any], objection: str) -> None:
    cluster = trio.cluster(*TRIO)
    facts = trio.observed(cluster)
    facts["worker-1"] = replace(facts["worker-1"], **changes)
    with pytest.raises(SwarmError, match=rf"(?s)^worker-1 .*{objection}"):
        plan(cluster, facts)


def test_an_operator_with_a_mapped_address_is_admitted(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    facts = trio.observed(cluster)
    facts["worker-1"] = replace(facts["worker-1"], ssh_client="::ffff:203.0.113.7")
    assert plan(cluster, facts) == ()


def test_encryption_needs_the_kernel_s_esp(trio: World) -> None:
    policy = Policy(
        operator_cidrs=("203.0.113.0/24",), client_cidrs=("0.0.0.0/0",), encrypted_overlay=True
    )
    cluster = replace(trio.cluster(*TRIO), firewall=policy)
    facts = trio.observed(cluster)
    with pytest.raises(SwarmError, match="does not have IPsec ESP"):
        plan(cluster, facts)
    able = {name: replace(observed, esp=True) for name, observed in facts.items()}
    assert [stage.title for stage in plan(cluster, able)] == ["prepare"]


def test_all_problems_are_reported_at_once(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    facts = trio.observed(cluster)
    facts["worker-1"] = replace(facts["worker-1"], ssh_client="198.51.100.9")
    facts["worker-2"] = replace(facts["worker-2"], mtus={"10.1.1.1": 1500})
    with pytest.raises(SwarmError) as caught:
        plan(cluster, facts)
    assert str(caught.value).count("Next:") == 2


def test_two_machines_of_one_name_are_refused(trio: World) -> None:
    cluster = trio.cluster("manager-1", "worker-1", "worker-1")
    with pytest.raises(SwarmError, match="two machines are called worker-1"):
        plan(cluster, trio.observed(cluster))


@pytest.fixture
def five(trio: World) -> World:
    """Three managers with two workers."""
    for name in ("manager-2", "manager-3"):
        trio.joined(name)
    return trio


OTHERS = ("manager-2", "manager-3", "worker-1", "worker-2")


def test_who_has_the_data_is_not_let_go(five: World) -> None:
    cluster = five.cluster(*OTHERS)
    with pytest.raises(
        SwarmError,
        match=r"manager-1: it is removed from .*, but its disk has .*\nNext: keep .*back up",
    ):
        plan(cluster, five.observed(cluster), leaving=(five.machines["manager-1"],))


def test_who_has_the_data_is_not_let_go_when_it_is_down(five: World) -> None:
    """Its disk may well be there: the stack would begin with an empty database meanwhile."""
    five.nodes["manager-1"] = replace(
        five.nodes["manager-1"], state="down", reachability="unreachable", leader=False
    )
    cluster = five.cluster(*OTHERS)
    facts = five.observed(cluster, silent=["manager-1"])
    for leaving in ((five.machines["manager-1"],), ()):
        with pytest.raises(SwarmError) as caught:
            plan(cluster, facts, leaving=leaving)
        text = str(caught.value)
        assert "does not answer, but its disk has the database and the registry" in text
        assert "start it again. If its disk is lost, so is the database:" in text
        assert "`pulumi destroy` and `pulumi up`" in text


def test_workers_of_an_only_manager_that_is_down_begin_no_swarm_of_their_own(trio: World) -> None:
    """No node is left that has the labels, and the workers alone could leave it."""
    trio.machine("manager-2")
    cluster = trio.cluster("manager-2", "worker-1", "worker-2", release=Release(stack="airflow"))
    facts = trio.observed(cluster, silent=["manager-1"])
    with pytest.raises(
        SwarmError, match=r"manager-1: it is removed from the settings and does not answer, and no"
    ):
        plan(cluster, facts, leaving=(trio.machines["manager-1"],), cluster_id="ours")


@pytest.mark.parametrize("role", ["manager", "worker"])
def test_the_first_manager_stays_the_first(five: World, role: Role) -> None:
    """The registry and the URLs go by the order, and another node's registry is empty."""
    five.machines["manager-1"] = replace(five.machines["manager-1"], role=role)
    cluster = five.cluster("manager-2", "manager-1", "manager-3", "worker-1", "worker-2")
    with pytest.raises(SwarmError) as caught:
        plan(cluster, five.observed(cluster))
    assert str(caught.value) == (
        "manager-1: its disk has the database and the registry (label dairflow.primary), but the"
        " first manager in the settings is manager-2\n"
        "Next: keep manager-1 the first manager of the list"
    )


def test_a_recreated_first_manager_is_admitted(five: World) -> None:
    """Its old entry keeps the label until it is removed."""
    cluster = five.cluster("manager-1", *OTHERS)
    facts = five.observed(cluster)
    facts["manager-1"] = five.facts["manager-1"]
    stages = [stage.title for stage in plan(cluster, facts)]
    assert stages == ["prepare", "begin", "join", "activate"]
