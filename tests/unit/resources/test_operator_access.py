"""When the operator's key is changed on machines, and on which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from infra.remote import key_rotation
from infra.remote.machine import Machine
from infra.resources.node_images import NodeImagesProvider
from infra.resources.operator_access import OperatorAccessProvider
from infra.resources.registry import RegistryProvider
from infra.resources.stack import StackProvider
from infra.resources.swarm import SwarmProvider

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.resources.provider import Provider


def props(*names: str, key: str, former: list[str] | None) -> dict[str, Any]:
    machines = [
        Machine(
            name=name, role="worker", address="10.0.0.1", host_key="k", private_address="10.0.0.1"
        ).to_dict()
        for name in names
    ]
    return {"machines": machines, "private_key": key, "former_keys": former}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Record each rotation: the keys, and the names of the machines."""
    seen: list[tuple[Any, ...]] = []

    def run(
        self: key_rotation.KeyRotation, machines: Sequence[Machine], leaving: Sequence[Machine]
    ) -> None:
        names = ([machine.name for machine in each] for each in (machines, leaving))
        seen.append((self.private_key, list(self.former), *names))

    monkeypatch.setattr(key_rotation.KeyRotation, "run", run)
    return seen


@pytest.mark.parametrize("former", [None, []])
def test_without_a_rotation_no_machine_is_connected_to(
    former: list[str] | None, runs: list[tuple[Any, ...]]
) -> None:
    provider, before = OperatorAccessProvider(), props("a", key="one", former=former)
    assert provider.create(before).outs == before
    provider.update("id", before, props("a", "b", key="one", former=former))
    assert runs == []


def test_a_rotation_reaches_machines_that_leave_too(runs: list[tuple[Any, ...]]) -> None:
    before, after = props("a", "b", key="one", former=[]), props("a", key="two", former=["one"])
    provider = OperatorAccessProvider()
    assert provider.diff("id", before, after).changes
    assert provider.update("id", before, after).outs == after
    assert runs == [("two", ["one"], ["a"], ["b"])]


def test_a_replaced_machine_is_signed_in_to_again(runs: list[tuple[Any, ...]]) -> None:
    """Its first boot's data may have a former key."""
    before, after = (props(name, key="two", former=["one"]) for name in ("a", "b"))
    provider = OperatorAccessProvider()
    assert provider.diff("id", before, after).changes
    provider.update("id", before, after)
    assert runs == [("two", ["one"], ["b"], ["a"])]


@pytest.mark.parametrize(
    "provider", [SwarmProvider, RegistryProvider, StackProvider, NodeImagesProvider]
)
def test_who_reads_or_deletes_with_the_key_gets_the_new_one(provider: type[Provider]) -> None:
    """Both use the key in the state, which only an update replaces."""
    assert provider().diff("id", {"private_key": "one"}, {"private_key": "two"}).changes
