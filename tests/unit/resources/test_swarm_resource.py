"""What the swarm's resource compares, and what it hands on of the last run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from infra.firewall import Policy
from infra.remote.machine import Machine
from infra.resources import swarm
from infra.swarm import join_tokens, observe, reconcile
from infra.swarm.cluster import Cluster, ClusterState

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.remote.runner import Runner


def record(name: str, role: Any) -> dict[str, Any]:
    return Machine(
        name=name, role=role, address="10.0.0.1", host_key="k", private_address="10.0.0.1"
    ).to_dict()


INPUTS: dict[str, Any] = {
    "private_key": "k",
    "connections_per_second": 10,
    "name": "swarm",
    "machines": [record("manager-1", "manager"), record("worker-1", "worker")],
    "firewall": Policy(operator_cidrs=(), client_cidrs=()).to_dict(),
    "trusted_registries": {},
    "drain_timeout": 60,
    "revision": swarm._revision(),
    "pending": [],
    "nodes": None,
    "cluster_id": None,
}
STATE = {
    **INPUTS,
    "cluster_id": "ours",
    "nodes": [
        {"name": "manager-1", "role": "manager"},
        {"name": "worker-1", "role": "manager"},
        {"name": "worker-2", "role": "worker"},
    ],
}
NEW_STATE = ClusterState(
    cluster_id="ours",
    nodes=(),
)


def test_a_stack_of_an_older_release_is_brought_up_to_this_one_in_place() -> None:
    """Its nodes get this release's firewall and validity of certificates by ``pulumi up``."""
    before = {key: value for key, value in STATE.items() if key != "revision"}
    found = swarm.SwarmProvider().diff("ours", before, INPUTS)
    assert (found.changes, found.replaces) == (True, [])
    assert not swarm.SwarmProvider().diff("ours", STATE, INPUTS).changes


def test_the_revision_follows_the_rules_that_every_node_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = swarm._revision()
    monkeypatch.setattr("infra.firewall._RULESET", "table inet {table} {{ {sets} {openings} }}")
    swarm.firewall._rendered.cache_clear()
    assert swarm._revision() != before
    swarm.firewall._rendered.cache_clear()


@pytest.mark.parametrize(
    ("call", "believed"),
    [
        (lambda provider: provider.create(dict(INPUTS)), frozenset()),
        (
            lambda provider: provider.update("ours", dict(STATE), dict(INPUTS)),
            frozenset({"manager-1", "worker-1"}),
        ),
        (
            lambda provider: provider.read("ours", dict(STATE)),
            frozenset({"manager-1", "worker-1"}),
        ),
    ],
    ids=["create", "update", "read"],
)
def test_only_those_that_the_state_calls_managers_are_believed_besides(
    call: Callable[[swarm.SwarmProvider], object],
    believed: frozenset[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Cluster] = []

    def look(cluster: Cluster, *_args: object, **_options: object) -> ClusterState:
        seen.append(cluster)
        return NEW_STATE

    monkeypatch.setattr(reconcile, "reconcile", look)
    monkeypatch.setattr(observe, "observe", look)
    monkeypatch.setattr(swarm, "_claim", lambda _props: None)
    call(swarm.SwarmProvider())
    assert [cluster.former_managers for cluster in seen] == [believed]


@pytest.mark.parametrize(
    ("before", "after", "rotations"),
    [(None, None, 0), (None, 1, 1), (1, 1, 0), (1, 2, 1), (2, None, 0)],
)
def test_another_number_rotates_the_join_tokens_after_all_nodes_have_joined(
    before: int | None, after: int | None, rotations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def bring(*_args: object, **_options: object) -> ClusterState:
        done.append("joined")
        return NEW_STATE

    def rotate(manager: Runner) -> None:
        done.append(f"rotated on {manager}")

    monkeypatch.setattr(reconcile, "reconcile", bring)
    monkeypatch.setattr(join_tokens, "rotate", rotate)
    monkeypatch.setattr("infra.remote.pool.SshPool.runner", lambda _pool, machine: machine.name)
    monkeypatch.setattr(swarm, "_claim", lambda _props: None)
    asked = {**INPUTS, **({"token_rotation": after} if after else {})}
    olds = {**STATE, **({"token_rotation": before} if before else {})}
    provider = swarm.SwarmProvider()
    assert provider.diff("ours", olds, asked).changes == (before != after)
    outs = provider.update("ours", olds, asked).outs
    assert done == ["joined", *["rotated on manager-1"] * rotations]
    assert outs
    assert outs.get("token_rotation") == after
