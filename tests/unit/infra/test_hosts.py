"""Hosts before anything is touched there: what is told, and what is left of others."""

from __future__ import annotations

import pytest

from infra.machines.errors import HostError
from infra.machines.hosts import inspect
from infra.remote.fake import FakePool
from infra.remote.machine import Machine, Role


def machine(name: str, role: Role = "worker") -> Machine:
    address = "10.0.0.1"
    return Machine(
        name=name, role=role, address=address, host_key="ssh-ed25519 A", private_address=address
    )


@pytest.mark.parametrize(
    ("silent", "first", "others"),
    [(["head"], True, False), (["one"], False, True), (["head", "one"], True, True)],
)
def test_only_another_host_than_the_first_manager_is_said_to_be_taken_out(
    silent: list[str], *, first: bool, others: bool
) -> None:
    hosts = FakePool()
    hosts.silent.update(silent)
    listed = [machine(name, "manager" if name == "head" else "worker") for name in silent]
    if "head" not in silent:
        listed.insert(0, machine("head", "manager"))
        hosts.runner(listed[0]).on("look whether")
    with pytest.raises(HostError) as caught:
        inspect(listed, hosts, stack="0123abcd", adopt=False, manager_ports=[])
    text = str(caught.value)
    assert text.startswith("No host was touched.")
    assert ("cannot be taken out of `hosts`: start it again. If its disk is lost" in text) is first
    assert ("take it out of `hosts` and run `pulumi up`" in text) is others
