"""A delete leaves what another resource has adopted, as a renamed resource adopts what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import pytest

from infra import operator_files
from infra.images import registry
from infra.machines.local import engine
from infra.remote.machine import Machine
from infra.resources import local
from infra.resources import operator_files as files_module
from infra.resources import registry as registry_module
from infra.resources import stack as stack_module
from infra.resources import swarm as swarm_module
from infra.resources.provider import is_adopted, owning
from infra.stack import remove
from infra.swarm import dismantle, ownership
from tests.fake_remote import FakePool, FakeRunner

if TYPE_CHECKING:
    from pathlib import Path

MANAGER = Machine(
    name="manager-1", role="manager", address="192.0.2.1", host_key="k", private_address="10.0.0.1"
)
MACHINE = MANAGER.to_dict()
PROPS: dict[str, Any] = {
    "private_key": "k",
    "machine": MACHINE,
    "machines": [MACHINE],
    "name": "airflow",
    "hostname": "manager-1",
    "cluster": "c",
    "cluster_id": "c",
    "firewall": {},
}


@pytest.mark.parametrize(
    ("mine", "found", "adopted"),
    [(None, "", False), ("a", "", False), ("a", "a", False), ("a", "b", True), (None, "b", True)],
)
def test_what_carries_another_identity_is_adopted(
    mine: str | None, found: str, *, adopted: bool
) -> None:
    assert is_adopted({"owner": mine} if mine else {}, found) is adopted


def test_an_identity_stays_over_updates_and_differs_between_resources() -> None:
    first, second = owning({"a": 1}), owning({"a": 1})
    assert first["owner"] != second["owner"]
    assert owning({"a": 2}, first) == {"a": 2, "owner": first["owner"]}


def test_the_last_to_claim_owns_it() -> None:
    runner = FakeRunner(MANAGER).on("docker config", "")
    ownership.claim(runner, "stack", "mine")
    (command,) = runner.commands
    assert "docker config create dairflow-owner.stack.mine -" in command
    assert "grep -vxF dairflow-owner.stack.mine" in command


@pytest.mark.parametrize(
    ("listed", "owner"), [("", ""), ("dairflow-owner.stack.mine\n", "mine")], ids=["none", "one"]
)
def test_the_owner_is_read_from_the_swarm(listed: str, owner: str) -> None:
    runner = FakeRunner(MANAGER).on("docker config ls", listed)
    assert ownership.owner_of(runner, "stack") == owner


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what is removed, on a swarm where everything has another owner than ``mine``."""
    seen: list[str] = []

    def listed(on: Machine) -> FakeRunner:
        runner = FakeRunner(on)
        for kind in ("stack", "registry", "swarm"):
            runner.on(f"dairflow-owner.{kind}.", f"dairflow-owner.{kind}.another\n")
        return runner

    class Pool(FakePool):
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

    for module in (stack_module, registry_module, swarm_module):
        monkeypatch.setattr(module, "ssh_pool", lambda _props: Pool(listed))
    monkeypatch.setattr(swarm_module, "_cluster", lambda _props: _Cluster())
    monkeypatch.setattr(remove, "remove_from", lambda *_a, **_k: seen.append("stack"))
    monkeypatch.setattr(registry, "remove", lambda *_a, **_k: seen.append("registry"))
    monkeypatch.setattr(dismantle, "dismantle", lambda *_a, **_k: seen.append("swarm"))
    monkeypatch.setattr(engine, "owner_of_machine", lambda _name: "another")
    monkeypatch.setattr(engine, "remove_machine", lambda _name: seen.append("machine"))
    return seen


class _Cluster:
    machines = (MANAGER,)


DELETES = {
    "stack": stack_module.StackProvider,
    "registry": registry_module.RegistryProvider,
    "swarm": swarm_module.SwarmProvider,
    "machine": local.LocalMachineProvider,
}


@pytest.mark.parametrize("kind", DELETES)
@pytest.mark.parametrize(("owner", "goes"), [("mine", False), ("another", True)])
def test_a_delete_leaves_what_another_has_adopted(
    kind: str, owner: str, removed: list[str], *, goes: bool
) -> None:
    DELETES[kind]().delete("id", {**PROPS, "owner": owner})
    assert removed == ([kind] if goes else [])


@pytest.mark.parametrize("kind", DELETES)
def test_a_resource_of_an_older_release_leaves_it_too(kind: str, removed: list[str]) -> None:
    DELETES[kind]().delete("id", dict(PROPS))
    assert removed == []


def test_the_operators_files_stay_with_who_wrote_them_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module, "ROOT", tmp_path)
    provider, props = files_module.OperatorFilesProvider(), {**PROPS, "folder": "stack"}
    first, second = provider.create(props), provider.create(props)
    provider.delete("stack", first.outs)
    assert operator_files.owner_of(tmp_path / "stack") == second.outs["owner"]
    provider.delete("stack", second.outs)
    assert not (tmp_path / "stack").exists()
