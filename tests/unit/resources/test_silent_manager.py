"""A refresh while the first manager does not answer: drift, and nothing is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from infra.firewall import Policy
from infra.remote.keys import generate_key_pair
from infra.remote.machine import Machine
from infra.resources import registry, stack, swarm
from infra.swarm import observe

if TYPE_CHECKING:
    from infra.resources.provider import Provider

NOBODY_LISTENS = 1
MANAGER = Machine(
    name="manager-1",
    role="manager",
    address="127.0.0.1",
    port=NOBODY_LISTENS,
    host_key=generate_key_pair().public,
    private_address="10.213.0.11",
)
SIGN_IN = {"private_key": generate_key_pair().private, "connections_per_second": 1000}
SWARM = {
    **SIGN_IN,
    "name": "swarm",
    "machines": [MANAGER.to_dict()],
    "firewall": Policy(operator_cidrs=(), client_cidrs=()).to_dict(),
    "trusted_registries": {},
    "drain_timeout": 60,
    "cluster_id": "ours",
    "nodes": [{"name": "manager-1", "role": "manager"}],
    "pending": [],
}
REGISTRY = {**SIGN_IN, "machine": MANAGER.to_dict(), "fingerprint": "f", "running": True}
STACK = {
    **SIGN_IN,
    "name": "airflow",
    "machines": [MANAGER.to_dict()],
    "services": {"a": {}},
    "secrets": {"admin_password": "a password"},
    "converged": True,
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(registry, "READ_CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(stack, "READ_CONNECT_SECONDS", 0.1)


@pytest.mark.parametrize(
    ("provider", "props", "drift"),
    [
        (swarm.SwarmProvider(), SWARM, {"pending": ["manager-1: does not answer"]}),
        (registry.RegistryProvider(), REGISTRY, {"running": False}),
        (stack.StackProvider(), STACK, {"converged": False}),
    ],
    ids=["swarm", "registry", "stack"],
)
def test_its_silence_is_drift_and_all_else_is_kept(
    provider: Provider, props: dict[str, Any], drift: dict[str, Any]
) -> None:
    found = provider.read("an-id", dict(props))
    assert found.id == "an-id"
    assert found.outs == {**props, **drift}
    assert provider.diff("an-id", {**props, **drift}, props).changes
