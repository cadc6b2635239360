"""What is wanted and what is there, in; exact steps in their order, out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra.firewall import digest, nftables_ruleset
from infra.swarm.cluster import MACHINE_LABEL, PRIMARY_LABEL
from infra.swarm.errors import SwarmError
from infra.swarm.facts import certificate_checksum
from infra.swarm.joining import InitSwarm, Join
from infra.swarm.node_updates import UpdateNodes, update_nodes
from infra.swarm.plan import plan
from infra.swarm.preparation import LoadFirewall

if TYPE_CHECKING:
    from conftest import World

    from infra.swarm.step import Stage

LONGEST_WORD_BYTES = 128 * 1024
"""Linux' own limit of one argument (execve(2), MAX_ARG_STRLEN)."""
TRIO = ("manager-1", "worker-1", "worker-2")


def lines_of(stages: tuple[Stage, ...]) -> dict[str, list[list[str]]]:
    """Return each stage's lanes in words."""
    return {
        stage.title: [
            [line for step in lane for line in step.todo.splitlines()] for lane in stage.lanes
        ]
        for stage in stages
    }


def test_what_is_there_already_needs_no_step(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    assert plan(cluster, trio.observed(cluster)) == ()


def test_a_fresh_swarm(world: World) -> None:
    for name in TRIO:
        world.machine(name)
    cluster = world.cluster(*TRIO)
    assert lines_of(plan(cluster, world.observed(cluster))) == {
        "prepare": [[f"{name}: load the firewall for 3 members"] for name in TRIO],
        "begin": [["manager-1: initialise the swarm"]],
        "join": [
            ["worker-1: join the swarm as worker"],
            ["worker-2: join the swarm as worker"],
        ],
        "activate": [
            [
                "manager-1: set labels dairflow.machine=manager-1, dairflow.primary=true",
                "worker-1: set labels dairflow.machine=worker-1, availability active",
                "worker-2: set labels dairflow.machine=worker-2, availability active",
            ]
        ],
    }


def test_every_member_s_firewall_lists_a_newcomer_before_it_joins(trio: World) -> None:
    trio.machine("worker-3", labels={"disk": "ssd"})
    old = trio.cluster(*TRIO)
    cluster = trio.cluster(*TRIO, "worker-3")
    stages = plan(cluster, trio.observed(old))
    assert lines_of(stages) == {
        "prepare": [[f"{name}: load the firewall for 4 members"] for name in (*TRIO, "worker-3")],
        "join": [["worker-3: join the swarm as worker"]],
        "activate": [
            [
                "worker-3: set labels dairflow.machine=worker-3, disk=ssd, availability active",
            ]
        ],
    }
    loads = [step for lane in stages[0].lanes for step in lane]
    for load in loads:
        assert isinstance(load, LoadFirewall)
        assert "10.9.0.103" in load.ruleset


def test_a_node_joins_by_the_managers_private_address(trio: World) -> None:
    trio.machine("worker-3")
    cluster = trio.cluster(*TRIO, "worker-3")
    joins = [
        s for stage in plan(cluster, trio.observed(cluster)) for lane in stage.lanes for s in lane
    ]
    assert [join.managers for join in joins if isinstance(join, Join)] == [("10.9.0.11",)]


def test_managers_join_one_after_the_other(trio: World) -> None:
    for name in ("manager-2", "manager-3", "worker-3"):
        trio.machine(name)
    cluster = trio.cluster(
        "manager-1", "manager-2", "manager-3", "worker-1", "worker-2", "worker-3"
    )
    assert lines_of(plan(cluster, trio.observed(cluster)))["join"] == [
        ["manager-2: join the swarm as manager", "manager-3: join the swarm as manager"],
        ["worker-3: join the swarm as worker"],
    ]


def test_a_leaving_node_drains_before_anything_else_befalls_it(trio: World) -> None:
    cluster = trio.cluster("manager-1", "worker-1", drain_timeout=70)
    leaving = (trio.machines["worker-2"],)
    members = trio.machines.values()
    stages = plan(cluster, trio.observed(cluster, members=members), leaving=leaving)
    assert lines_of(stages) == {
        "drain": [["worker-2: drain", "worker-2: wait until no task runs on it"]],
        "leave": [
            [
                "worker-2: leave the swarm",
                "worker-2: remove the node from the swarm's list",
                "worker-2: remove the firewall and our files",
            ]
        ],
        "close": [
            ["manager-1: load the firewall for 2 members"],
            ["worker-1: load the firewall for 2 members"],
        ],
    }


def test_a_node_with_our_label_leaves_even_without_a_record(trio: World) -> None:
    cluster = trio.cluster("manager-1", "worker-1")
    stages = lines_of(
        plan(cluster, trio.observed(cluster, members=trio.machines.values(), silent=["worker-2"]))
    )
    assert stages["leave"] == [["worker-2: remove the node from the swarm's list"]]


def test_somebody_else_s_node_in_the_swarm_is_left_alone(trio: World) -> None:
    trio.joined("worker-8", labels={})
    cluster = trio.cluster(*TRIO)
    assert plan(cluster, trio.observed(cluster, silent=["worker-8"])) == ()


def test_a_dead_leaving_node_is_not_drained_but_removed(trio: World) -> None:
    trio.nodes["worker-2"] = replace(trio.nodes["worker-2"], state="down")
    cluster = trio.cluster("manager-1", "worker-1")
    facts = trio.observed(cluster, members=trio.machines.values(), silent=["worker-2"])
    stages = lines_of(plan(cluster, facts, leaving=(trio.machines["worker-2"],)))
    assert "drain" not in stages
    assert stages["leave"] == [["worker-2: remove the node from the swarm's list"]]


def test_growing_and_shrinking_at_once_opens_the_firewall_first_and_closes_it_last(
    trio: World,
) -> None:
    trio.machine("worker-3")
    cluster = trio.cluster("manager-1", "worker-1", "worker-3")
    leaving = (trio.machines["worker-2"],)
    facts = trio.observed(cluster, members=[trio.machines[name] for name in TRIO])
    stages = plan(cluster, facts, leaving=leaving)
    titles = [stage.title for stage in stages]
    assert titles == ["prepare", "join", "activate", "drain", "leave", "close"]
    assert lines_of(stages)["prepare"] == [
        [f"{name}: load the firewall for 4 members"]
        for name in ("manager-1", "worker-1", "worker-3", "worker-2")
    ]
    assert lines_of(stages)["close"] == [
        [f"{name}: load the firewall for 3 members"]
        for name in ("manager-1", "worker-1", "worker-3")
    ]


def test_a_recreated_machine_replaces_its_old_entry(trio: World) -> None:
    """Dead nodes are never pruned, and each rejoin makes a new ID (moby#24106)."""
    cluster = trio.cluster(*TRIO)
    facts = trio.observed(cluster)
    facts["worker-2"] = trio.facts["worker-2"]
    assert lines_of(plan(cluster, facts)) == {
        "prepare": [["worker-2: load the firewall for 3 members"]],
        "begin": [["worker-2: remove the node from the swarm's list"]],
        "join": [["worker-2: join the swarm as worker"]],
        "activate": [["worker-2: set labels dairflow.machine=worker-2, availability active"]],
    }


def test_a_recreated_manager_is_demoted_before_its_entry_is_removed(trio: World) -> None:
    """An entry that is a manager counts in the quorum (moby#30847)."""
    for name in ("manager-2", "manager-3"):
        trio.joined(name)
    cluster = trio.cluster("manager-1", "manager-2", "manager-3", "worker-1", "worker-2")
    facts = trio.observed(cluster)
    facts["manager-3"] = trio.facts["manager-3"]
    assert lines_of(plan(cluster, facts))["begin"] == [
        ["manager-3: demote to worker", "manager-3: remove the node from the swarm's list"]
    ]


def test_three_managers_to_one_demote_the_leader_last(trio: World) -> None:
    trio.joined("manager-2", leader=True)
    trio.joined("manager-3")
    trio.nodes["manager-1"] = replace(trio.nodes["manager-1"], leader=False)
    cluster = trio.cluster(*TRIO)
    leaving = (trio.machines["manager-2"], trio.machines["manager-3"])
    stages = lines_of(plan(cluster, trio.observed(cluster), leaving=leaving))
    assert stages["demote"] == [["manager-3: demote to worker", "manager-2: demote to worker"]]
    assert list(stages) == ["prepare", "drain", "demote", "leave", "close"]


def test_a_demotion_that_would_lose_the_quorum_is_refused(trio: World) -> None:
    trio.joined("manager-2")
    trio.joined("manager-3", reachability="unreachable", state="down")
    cluster = trio.cluster("manager-1", "manager-3", "worker-1", "worker-2")
    with pytest.raises(
        SwarmError, match="manager-2: it cannot be demoted: only 1 of the 2 remaining managers"
    ):
        plan(cluster, trio.observed(cluster), leaving=(trio.machines["manager-2"],))


def test_a_role_that_changes_is_followed_without_leaving(trio: World) -> None:
    trio.joined("manager-2", role="worker", reachability="")
    cluster = trio.cluster("manager-1", "manager-2", "worker-1", "worker-2")
    assert lines_of(plan(cluster, trio.observed(cluster))) == {
        "promote": [["manager-2: promote to manager"]]
    }
    trio.nodes["manager-2"] = replace(
        trio.nodes["manager-2"], role="manager", reachability="reachable"
    )
    trio.machines["manager-2"] = replace(trio.machines["manager-2"], role="worker")
    cluster = trio.cluster("manager-1", "manager-2", "worker-1", "worker-2")
    assert lines_of(plan(cluster, trio.observed(cluster))) == {
        "demote": [["manager-2: demote to worker"]]
    }


@pytest.mark.parametrize(
    ("there", "wanted", "words"),
    [
        ({}, {"gpu": "1"}, "set labels gpu=1"),
        ({"gpu": "1"}, {"gpu": "2"}, "set labels gpu=2"),
        ({"gpu": "1"}, {}, "set labels no gpu"),
    ],
)
def test_labels_follow_the_settings(
    trio: World, there: dict[str, str], wanted: dict[str, str], words: str
) -> None:
    trio.nodes["worker-1"] = replace(
        trio.nodes["worker-1"], labels={MACHINE_LABEL: "worker-1", **there}
    )
    trio.machines["worker-1"] = replace(trio.machines["worker-1"], labels=wanted)
    cluster = trio.cluster(*TRIO)
    assert lines_of(plan(cluster, trio.observed(cluster))) == {"activate": [[f"worker-1: {words}"]]}


def test_a_node_that_an_interrupted_run_left_drained_is_activated(trio: World) -> None:
    trio.nodes["worker-1"] = replace(trio.nodes["worker-1"], availability="drain", labels={})
    cluster = trio.cluster(*TRIO)
    assert lines_of(plan(cluster, trio.observed(cluster))) == {
        "activate": [["worker-1: set labels dairflow.machine=worker-1, availability active"]]
    }


def test_a_lost_swarm_s_workers_forget_it_and_join_the_new_one(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    facts = trio.observed(cluster)
    facts["manager-1"] = trio.facts["manager-1"]
    stages = lines_of(plan(cluster, facts, cluster_id="ours"))
    assert stages["begin"] == [
        ["worker-1: leave a lost swarm"],
        ["worker-2: leave a lost swarm"],
        ["manager-1: initialise the swarm"],
    ]
    assert stages["join"] == [
        ["worker-1: join the swarm as worker"],
        ["worker-2: join the swarm as worker"],
    ]


def test_a_live_firewall_is_not_loaded_again(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    facts = trio.observed(cluster)
    facts["worker-1"] = replace(facts["worker-1"], firewall_digest="")
    assert lines_of(plan(cluster, facts)) == {
        "prepare": [["worker-1: load the firewall for 3 members"]]
    }


def test_a_machine_whose_sshd_listens_elsewhere_keeps_that_port_open(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    facts = trio.observed(cluster)
    facts["worker-1"] = replace(facts["worker-1"], ssh_port=2222, firewall_digest="")
    (stage,) = plan(cluster, facts)
    (step,) = stage.lanes[0]
    assert isinstance(step, LoadFirewall)
    assert "proto-dst 2222" in step.ruleset
    assert "proto-dst 22 " not in step.ruleset
    wanted = nftables_ruleset(cluster.firewall, cluster.members, ssh_port=2222)
    facts["worker-1"] = replace(facts["worker-1"], firewall_digest=digest(wanted))
    assert plan(cluster, facts) == ()


def test_what_is_missing_on_a_host_is_installed_in_the_safe_order(world: World) -> None:
    world.machine("manager-1")
    world.facts["manager-1"] = replace(world.facts["manager-1"], engine="missing", has_nft=False)
    cluster = world.cluster("manager-1")
    assert lines_of(plan(cluster, world.observed(cluster)))["prepare"] == [
        [
            "manager-1: install nftables",
            "manager-1: load the firewall for 1 members",
            "manager-1: install Docker's engine",
        ]
    ]


def test_an_engine_that_does_not_run_is_started(trio: World) -> None:
    trio.machine("worker-3")
    trio.facts["worker-3"] = replace(trio.facts["worker-3"], engine="stopped")
    cluster = trio.cluster(*TRIO, "worker-3")
    assert lines_of(plan(cluster, trio.observed(cluster)))["prepare"][0] == [
        "worker-3: load the firewall for 4 members",
        "worker-3: start Docker's engine",
    ]


def test_registries_are_trusted_once_and_no_longer_than_wanted(trio: World) -> None:
    cluster = trio.cluster(*TRIO, trusted_registries={"10.9.0.11:5000": "PEM"})
    facts = trio.observed(cluster)
    there = {"10.9.0.11:5000": certificate_checksum("PEM")}
    facts["manager-1"] = replace(facts["manager-1"], trusted=there)
    facts["worker-1"] = replace(facts["worker-1"], trusted={"10.9.0.11:5000": "older"})
    facts["worker-2"] = replace(facts["worker-2"], trusted={**there, "10.9.0.99:5000": "x"})
    assert lines_of(plan(cluster, facts)) == {
        "prepare": [
            ["worker-1: trust the registry 10.9.0.11:5000"],
            ["worker-2: stop trusting the registry 10.9.0.99:5000"],
        ]
    }


def test_a_leaving_machine_that_the_list_lost_already_is_still_cleaned(trio: World) -> None:
    cluster = trio.cluster("manager-1", "worker-1")
    facts = trio.observed(cluster)
    nodes = tuple(node for name, node in trio.nodes.items() if name != "worker-2")
    facts["manager-1"] = replace(facts["manager-1"], nodes=nodes)
    stages = lines_of(plan(cluster, facts, leaving=(trio.machines["worker-2"],)))
    assert stages == {
        "clean": [["worker-2: leave a lost swarm", "worker-2: remove the firewall and our files"]]
    }


def test_the_database_s_node_is_marked_once(world: World) -> None:
    for name in ("manager-1", "manager-2", "manager-3"):
        world.machine(name)
    cluster = world.cluster("manager-1", "manager-2", "manager-3")
    stages = plan(cluster, world.observed(cluster))
    (update,) = [
        s for stage in stages for lane in stage.lanes for s in lane if isinstance(s, UpdateNodes)
    ]
    marked = [c.name for c in update.changes if c.add_labels.get(PRIMARY_LABEL) == "true"]
    assert marked == ["manager-1"]


def test_many_nodes_are_activated_by_commands_of_bounded_length(world: World) -> None:
    names = ["manager-1", *(f"worker-{number}" for number in range(1, 121))]
    for name in names:
        world.machine(name, labels={f"rack-{number}": "x" * 63 for number in range(15)})
    cluster = world.cluster(*names)
    stages = {stage.title: stage for stage in plan(cluster, world.observed(cluster))}
    (lane,) = stages["activate"].lanes
    updates = [step for step in lane if isinstance(step, UpdateNodes)]
    assert [change.name for step in updates for change in step.changes] == names
    lengths = [len(update_nodes(s.changes, dict.fromkeys(names, "n" * 25))) for s in updates]
    assert max(lengths) < LONGEST_WORD_BYTES < sum(lengths)


def test_machines_install_side_by_side_whatever_their_number(world: World) -> None:
    names = ["manager-1", *(f"worker-{number}" for number in range(1, 121))]
    for name in names:
        world.machine(name)
        world.facts[name] = replace(world.facts[name], engine="missing")
    cluster = world.cluster(*names)
    prepare = plan(cluster, world.observed(cluster))[0]
    assert (prepare.title, len(prepare.lanes)) == ("prepare", 121)
    assert prepare.at_once >= len(prepare.lanes)


@pytest.mark.parametrize(
    ("addresses", "pool"),
    [
        (["172.20.0.2", "172.20.0.3"], ""),
        (["10.213.0.11"], ""),
        (["10.0.1.4", "10.0.2.4"], "192.168.0.0/16"),
        (["10.0.1.4", "192.168.3.4"], "10.240.0.0/12"),
    ],
)
def test_overlay_networks_keep_clear_of_the_machines_own(
    world: World, addresses: list[str], pool: str
) -> None:
    for number, address in enumerate(addresses, 1):
        name = f"manager-{number}" if number == 1 else f"worker-{number}"
        machine = replace(world.machine(name), private_address=address)
        world.machines[name] = machine
        world.facts[name] = replace(world.facts[name], mtus={address: 1500})
    cluster = world.cluster(*world.machines)
    stages = plan(cluster, world.observed(cluster))
    (init,) = [
        s for stage in stages for lane in stage.lanes for s in lane if isinstance(s, InitSwarm)
    ]
    assert init.address_pool == pool
