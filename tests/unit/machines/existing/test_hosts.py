"""Hosts before anything is changed there: problems, and what other stacks left behind."""

from __future__ import annotations

import pytest

from infra.machines.errors import HostError
from infra.machines.existing.host_check import CLAIM_FILE, HostFacts
from infra.machines.existing.hosts import LEAVE_FILE, claim, inspect, reject_orphans
from infra.remote.machine import Machine, Role
from infra.swarm.release import Release
from tests.fake_remote import FakePool

STACK = "0123abcd"
VOLUMES = "volume airflow_postgres\nvolume of-the-owner\n"


def machine(name: str, role: Role = "worker") -> Machine:
    address = "10.0.0.1"
    return Machine(
        name=name, role=role, address=address, host_key="ssh-ed25519 A", private_address=address
    )


@pytest.mark.parametrize(
    ("silent", "first", "others"),
    [(["head"], True, False), (["one"], False, True), (["head", "one"], True, True)],
)
def test_a_removal_is_reported_only_for_a_host_that_is_not_the_first_manager(
    silent: list[str], *, first: bool, others: bool
) -> None:
    hosts = FakePool()
    hosts.silent.update(silent)
    listed = [machine(name, "manager" if name == "head" else "worker") for name in silent]
    if "head" not in silent:
        listed.insert(0, machine("head", "manager"))
        hosts.runner(listed[0]).on("check whether")
    with pytest.raises(HostError) as caught:
        inspect(listed, hosts, stack=STACK, adopt=False, manager_ports=[])
    text = str(caught.value)
    assert text.startswith("No host was changed.")
    assert (
        "you cannot remove it from `hosts`: start it again. If its disk is lost" in text
    ) is first
    assert ("remove it from `hosts` and run `pulumi up`" in text) is others


@pytest.mark.parametrize(
    ("claimed", "answer", "hint"),
    [
        ("", VOLUMES, "`docker volume rm airflow_postgres`"),
        ("", f"leave\n{VOLUMES}", f"`sh {LEAVE_FILE}`"),
        ("ffff0000", VOLUMES, "`docker volume rm airflow_postgres`"),
    ],
)
def test_volumes_that_the_stack_would_begin_on_are_refused(
    claimed: str, answer: str, hint: str
) -> None:
    """Its PostgreSQL would start with the database of before, and with other passwords."""
    hosts, on = FakePool(), machine("one")
    hosts.runner(on).on("look for volumes", answer)
    with pytest.raises(HostError) as caught:
        reject_orphans([on], {"one": HostFacts(claim=claimed)}, hosts, stack=STACK)
    text = str(caught.value)
    assert text.startswith("No host was changed.\none (root@10.0.0.1:22): ")
    assert "it has airflow_postgres, and this stack would start on that data\nNext: " in text
    assert hint in text


@pytest.mark.parametrize(
    ("claimed", "answer"),
    [("", "leave\nvolume of-the-owner\n"), ("ffff0000", f"leave\n{VOLUMES}"), (STACK, "")],
)
def test_volumes_that_are_ours_or_go_are_not_a_conflict(claimed: str, answer: str) -> None:
    hosts, on = FakePool(), machine("one")
    if claimed != STACK:
        hosts.runner(on).on("look for volumes", answer)
    reject_orphans([on], {"one": HostFacts(claim=claimed)}, hosts, stack=STACK)


def test_a_host_of_another_stack_leaves_that_by_its_own_script() -> None:
    hosts, on, lines = FakePool(), machine("one"), list[str]()
    runner = hosts.runner(on).on("look for volumes", f"leave\n{VOLUMES}", "").on(f"sh {LEAVE_FILE}")
    found = {"one": HostFacts(claim="ffff0000", swarm="active")}
    claim([on], found, hosts, lines.append, stack=STACK, release=Release(stack="airflow"))
    assert f"sh {LEAVE_FILE}" in runner.commands
    assert not [command for command in runner.commands if "swarm leave" in command]
    assert runner.files[CLAIM_FILE] == f"{STACK}\n".encode()
    assert lines[0] == "one: left stack ffff0000 and removed its data, because `adopt` is set"


def test_a_host_that_left_and_keeps_volumes_is_not_claimed() -> None:
    """Such as one whose engine could not be started to remove them."""
    hosts, on, lines = FakePool(), machine("one"), list[str]()
    runner = hosts.runner(on).on("look for volumes", f"leave\n{VOLUMES}", VOLUMES)
    runner.on(f"sh {LEAVE_FILE}")
    found = {"one": HostFacts(claim="ffff0000")}
    with pytest.raises(HostError, match="it has airflow_postgres"):
        claim(
            [on],
            found,
            hosts,
            lines.append,
            stack=STACK,
            owner="o",
            release=Release(stack="airflow"),
        )
    assert (runner.files, lines) == ({}, [])
