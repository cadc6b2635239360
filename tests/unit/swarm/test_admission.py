"""What is refused before anything is changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from infra.firewall import Policy
from infra.swarm.errors import SwarmError
from infra.swarm.plan import plan

if TYPE_CHECKING:
    from conftest import World

TRIO = ("manager-1", "worker-1", "worker-2")


@pytest.mark.parametrize(
    ("changes", "objection"),
    [
        ({"ssh_client": "198.51.100.9"}, r"would shut you out.*198\.51\.100\.9.*\nNext: add"),
        ({"ssh_client": "2001:db8::7"}, "would shut you out"),
        ({"mtus": {"10.1.1.1": 1500}}, r"set as its private address, but it has 10\.1\.1\.1"),
        ({"engine": "missing", "os_family": ("fedora",)}, "packages on Debian and Ubuntu only"),
        ({"has_nft": False, "os_family": ()}, "this is unknown"),
        ({"swarm_state": "locked"}, "docker swarm unlock"),
        ({"node_address": "10.9.0.77"}, r"in the swarm with the address 10\.9\.0\.77"),
    ],
)
def test_a_machine_is_refused(trio: World, changes: dict[str, Any], objection: str) -> None:
    cluster = trio.cluster(*TRIO)
    facts = trio.told(cluster)
    facts["worker-1"] = replace(facts["worker-1"], **changes)
    with pytest.raises(SwarmError, match=rf"(?s)^worker-1 .*{objection}"):
        plan(cluster, facts)


def test_an_operator_by_a_mapped_address_is_let_in(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    facts = trio.told(cluster)
    facts["worker-1"] = replace(facts["worker-1"], ssh_client="::ffff:203.0.113.7")
    assert plan(cluster, facts) == ()


def test_encryption_needs_the_kernel_s_esp(trio: World) -> None:
    policy = Policy(
        operator_cidrs=("203.0.113.0/24",), client_cidrs=("0.0.0.0/0",), encrypted_overlay=True
    )
    cluster = replace(trio.cluster(*TRIO), firewall=policy)
    facts = trio.told(cluster)
    with pytest.raises(SwarmError, match="no IPsec ESP"):
        plan(cluster, facts)
    able = {name: replace(told, esp=True) for name, told in facts.items()}
    assert [stage.title for stage in plan(cluster, able)] == ["prepare"]


def test_every_objection_is_told_at_once(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    facts = trio.told(cluster)
    facts["worker-1"] = replace(facts["worker-1"], ssh_client="198.51.100.9")
    facts["worker-2"] = replace(facts["worker-2"], mtus={"10.1.1.1": 1500})
    with pytest.raises(SwarmError) as caught:
        plan(cluster, facts)
    assert str(caught.value).count("Next:") == 2


def test_two_machines_of_one_name_are_refused(trio: World) -> None:
    cluster = trio.cluster("manager-1", "worker-1", "worker-1")
    with pytest.raises(SwarmError, match="two machines are called worker-1"):
        plan(cluster, trio.told(cluster))
