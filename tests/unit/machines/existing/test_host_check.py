"""Problems of a host as a node: arguments and facts in, problems out."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from infra.clock import ClockReading
from infra.machines.errors import HostError
from infra.machines.existing.host_check import CLAIM_FILE, SCRIPT, HostFacts, parse, problems
from infra.machines.existing.hosts import (
    LEAVE_FILE,
    claim,
    inspect,
    leave_script,
    release_hosts,
    site,
)
from infra.machines.existing.machines import operator_cidrs
from infra.remote.machine import Machine
from infra.remote.runner import Completed
from infra.stack.memory import Needs, Part
from infra.swarm.commands import FORGET_SWARM
from infra.swarm.release import Release
from tests.fake_remote import FakePool, FakeRunner

STACK = "0123abcd"

ANSWER = """\
ssh 198.51.100.7 50000 192.0.2.1 22
id debian
version 13
system Debian GNU/Linux 13 (trixie)
kernel 6.1.0-18-amd64
architecture x86_64
hostname alpha
addresses [{"mtu": 65536, "addr_info": [{"local": "127.0.0.1"}]}, \
{"mtu": 1450, "addr_info": [{"local": "10.0.0.1"}]}]
route eth0 10.0.0.0/24
route eth1 10.99.0.1
listens 22
memory 8000000
free 20000000
offered 26.1.5+dfsg1-9+b11
"""


NOON = 1795780800.0  # 2026-11-27 12:00 UTC
BEHIND = ClockReading(asked=NOON, began=NOON - 7200, ended=NOON - 7199, answered=NOON + 30)


def machine(name: str = "alpha", *, role: Any = "manager", address: str = "10.0.0.1") -> Machine:
    return Machine(
        name=name, role=role, address=address, host_key="ssh-ed25519 A", private_address=address
    )


def problem_text(
    facts: HostFacts,
    *,
    adopt: bool = False,
    on: Machine | None = None,
    others: Iterable[Machine] = (),
) -> str:
    found = problems(
        on or machine(),
        facts,
        others=others,
        stack=STACK,
        adopt=adopt,
        manager_ports=[8080, 5555],
    )
    return "\n".join(found)


def test_an_answer_is_read() -> None:
    facts = parse(ANSWER)
    assert facts.ssh_client == "198.51.100.7"
    assert facts.mtus == {"127.0.0.1": 65536, "10.0.0.1": 1450}
    assert facts.routes == (
        ("eth0", IPv4Network("10.0.0.0/24")),
        ("eth1", IPv4Network("10.99.0.1/32")),
    )
    assert not facts.own_pools
    assert facts.listens == {22}
    assert facts.free_kb == 20_000_000
    assert facts.memory_kb == 8_000_000
    assert problem_text(facts) == ""


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"system_id": "fedora", "system": "Fedora 40"}, "it runs Fedora 40; Debian 11"),
        ({"version": "10", "system": "Debian 10"}, "it runs Debian 10; Debian 11"),
        ({"system_id": "ubuntu", "version": "18.04", "system": "Ubuntu 18"}, "it runs Ubuntu 18"),
        ({"kernel": "4.19.0-26"}, "its kernel is 4.19.0-26; the firewall needs 5.4"),
        ({"architecture": "aarch64"}, "its processor is aarch64"),
        ({"lacks": ("ip", "pgrep")}, "run `apt-get install iproute2 procps`"),
        (
            {"nft_error": "Operation not permitted"},
            "nftables does not work for root on it: Operation not",
        ),
        ({"engine": "20.10.24"}, "its Docker engine is 20.10.24; 25 or newer is needed"),
        ({"offered_engine": "24.0.7-0ubuntu4"}, "its system offers the Docker engine 24.0.7-0ub"),
        ({"free_kb": 10}, "0.0 GB of disk are free"),
        (
            {"mtus": {"10.9.9.9": 1500}},
            "its private address is 10.0.0.1 in the settings, but the host has 10.9.",
        ),
        (
            {"ssh_client": "2001:db8::7"},
            "your SSH connection comes from 2001:db8::7; the firewall accepts",
        ),
        ({"ufw": True}, "ufw is active"),
        (
            {"clock": BEHIND},
            "its clock is at 2026-11-27 10:00:00 UTC, and this machine's at 2026-11-27",
        ),
        ({"claim": "ffff0000"}, "it belongs to another stack of this project (identity ffff0000)"),
        ({"swarm": "active"}, "it is in another swarm (its state there is active)"),
        ({"listens": frozenset({22, 2377, 8080})}, "another program listens on TCP 2377, 8080"),
    ],
)
def test_what_cannot_work_is_reported_with_the_host_and_a_next_step(
    change: dict[str, Any], expected: str
) -> None:
    text = problem_text(replace(parse(ANSWER), **change))
    assert text.startswith("alpha (root@10.0.0.1:22): ")
    assert expected in text
    assert "\nNext: " in text


def facts_with(*routes: tuple[str, str], **changes: Any) -> HostFacts:
    found = tuple((device, IPv4Network(network)) for device, network in routes)
    return replace(parse(ANSWER), routes=found, **changes)


ETH0 = ("eth0", "10.0.0.0/24")


@pytest.mark.parametrize("address", ["172.17.3.4", "172.18.0.9"])
def test_an_address_that_docker_s_bridges_would_hide_is_reported(address: str) -> None:
    network = f"{address[:6]}.0.0/16"
    text = problem_text(facts_with(ETH0, ssh_client=address))
    assert (
        f"Docker will give {network} to a bridge of its own, and your SSH connection comes from"
        in text
    )
    assert '{"default-address-pools": [{"base":' in text
    text = problem_text(facts_with(ETH0), others=[machine(), machine("beta", address=address)])
    assert f"Docker will give {network} to a bridge of its own, and beta has {address}" in text


@pytest.mark.parametrize(
    "facts",
    [
        facts_with(("eth0", "172.17.0.0/20"), ("eth1", "172.18.5.0/24")),
        facts_with(("docker0", "172.17.0.0/16"), ("docker_gwbridge", "172.18.0.0/16")),
        facts_with(ETH0, own_pools=True),
    ],
)
def test_docker_passes_over_networks_that_the_host_reaches_already(facts: HostFacts) -> None:
    others = [machine("beta", address="172.17.3.4"), machine("gamma", address="172.18.5.9")]
    assert problem_text(facts, others=others) == ""


def test_an_engine_that_runs_brings_one_bridge_only() -> None:
    others = [machine("beta", address="172.17.3.4"), machine("gamma", address="172.18.5.9")]
    for facts in (
        facts_with(("docker0", "10.1.0.0/16"), engine="28.0"),
        facts_with(ETH0, engine="28.0"),
    ):
        assert "beta has 172.17.3.4" in problem_text(facts, others=others)
        assert "gamma" not in problem_text(facts, others=others)


def test_ubuntu_20_04_is_supported() -> None:
    assert problem_text(replace(parse(ANSWER), system_id="ubuntu", version="20.04")) == ""


def test_an_older_debian_needs_an_engine_of_docker_s_own() -> None:
    """Whether its package lists are there yet or not."""
    debian_12 = replace(parse(ANSWER), version="12", system="Debian 12")
    assert (
        problem_text(replace(debian_12, engine="25.0.0", offered_engine="20.10.24+dfsg1-1")) == ""
    )
    for change, expected in (
        ({"offered_engine": "20.10.24+dfsg1-1"}, "its system offers the Docker engine 20.10.24"),
        ({"offered_engine": "(none)"}, "the Docker engine of Debian 12 is too old"),
    ):
        text = problem_text(replace(debian_12, **change))
        assert expected in text
        assert text.endswith(
            "install Docker's own packages there: https://docs.docker.com/engine/install/"
        )


def test_a_host_of_this_stack_is_in_its_own_swarm() -> None:
    facts = replace(
        parse(ANSWER), claim=STACK, swarm="active", listens=frozenset({2377, 8080}), free_kb=10
    )
    assert problem_text(facts) == ""


def test_a_web_server_on_a_worker_is_not_a_conflict() -> None:
    assert (
        problem_text(replace(parse(ANSWER), listens=frozenset({8080})), on=machine(role="worker"))
        == ""
    )


def test_only_adopt_takes_a_host_from_another_swarm() -> None:
    assert problem_text(replace(parse(ANSWER), swarm="active"), adopt=True) == ""


def pool(**answers: str) -> FakePool:
    def make(machine: Machine) -> FakeRunner:
        return FakeRunner(machine).on("check whether", answers[machine.name])

    return FakePool(make)


def look(hosts: FakePool, *machines: Machine, adopt: bool = False) -> dict[str, HostFacts]:
    return inspect(machines, hosts, stack=STACK, adopt=adopt, manager_ports=[8080])


def test_hosts_without_the_memory_that_services_reserve_are_refused() -> None:
    """After all else, since a host's other problems are more specific."""
    parts = (Part(service="worker", tasks=16, memory=512 * 1024**2),)
    needed = Needs(each_worker=parts, workers=parts)
    beta = machine("beta", role="worker", address="10.0.0.2")
    answer = ANSWER.replace("10.0.0.1", "10.0.0.2").replace("alpha", "beta")
    hosts = pool(alpha=ANSWER, beta=answer)
    with pytest.raises(HostError) as caught:
        inspect([machine(), beta], hosts, stack=STACK, adopt=False, manager_ports=[], needed=needed)
    text = str(caught.value)
    assert text.startswith("No host was changed.\nbeta (root@10.0.0.2:22): the services reserve")
    assert "8.0 GiB (worker 16 x 512 MiB) there, and it has 7.6 GiB" in text
    assert "\nNext: fewer workersPerNode" in text
    larger = pool(alpha=ANSWER, beta=answer.replace("memory 8000000", "memory 10000000"))
    inspect([machine(), beta], larger, stack=STACK, adopt=False, manager_ports=[], needed=needed)


def test_every_host_s_objections_come_together_and_nothing_is_touched() -> None:
    hosts = pool(
        alpha=ANSWER.replace("13", "9"),
        beta=ANSWER.replace("10.0.0.1", "10.0.0.2") + "swarm active",
    )
    hosts.silent.add("gamma")
    with pytest.raises(HostError) as caught:
        look(hosts, machine(), machine("beta", address="10.0.0.2"), machine("gamma"))
    text = str(caught.value)
    assert text.startswith("No host was changed.")
    assert "alpha (root@10.0.0.1:22): it runs" in text
    assert "beta (root@10.0.0.2:22): it is in another swarm" in text
    assert "gamma (root@10.0.0.1:22): waited 20 s for SSH" in text
    for runner in hosts.runners.values():
        assert runner.commands == [SCRIPT]
        assert runner.files == {}


def test_sudo_that_requires_a_password_is_reported_with_what_to_do() -> None:
    refused = Completed(stdout="", stderr="sudo: a password is required", exit_status=1)
    hosts = FakePool(lambda machine: FakeRunner(machine).on("check whether", refused))
    with pytest.raises(HostError) as caught:
        look(hosts, replace(machine(), user="admin"))
    assert "sudo: a password is required" in str(caught.value)
    assert "set the host's password for sudo" in str(caught.value)


def test_two_entries_for_one_host_are_reported() -> None:
    hosts = pool(alpha=ANSWER, beta=ANSWER)
    with pytest.raises(HostError, match=r"beta .*: its host name is alpha, which alpha .* has too"):
        look(hosts, machine(), machine("beta", role="worker"))


def test_hosts_are_claimed_once_and_adopted_ones_leave_their_swarm_before() -> None:
    hosts = pool(alpha=ANSWER + "swarm active\nengine 26.1.5\n")
    found = look(hosts, machine(), adopt=True)
    hosts.runners["alpha"].on("docker swarm leave --force")
    lines: list[str] = []
    release = Release(stack="airflow")
    claim([machine()], found, hosts, lines.append, stack=STACK, release=release)
    assert hosts.runners["alpha"].commands[1:] == [FORGET_SWARM]
    assert hosts.runners["alpha"].files == {
        CLAIM_FILE: f"{STACK}\n".encode(),
        LEAVE_FILE: leave_script(release).encode(),
    }
    assert lines[0] == "alpha: left the swarm that it was in, because `adopt` is set"
    claimed = {"alpha": replace(found["alpha"], claim=STACK)}
    other = Release(stack="airflow", remove_engine=True)
    claim([machine()], claimed, hosts, pytest.fail, stack=STACK, release=other)
    assert hosts.runners["alpha"].commands[2:] == []
    assert hosts.runners["alpha"].files[LEAVE_FILE] == leave_script(other).encode()


def test_the_operator_and_the_smallest_packet_are_read_from_the_hosts() -> None:
    facts = parse(ANSWER)
    others = {"alpha": facts, "beta": replace(facts, ssh_client="10.0.0.9", mtus={})}
    found = site([machine(), machine("beta")], others)
    assert found.operator_addresses == ("10.0.0.9", "198.51.100.7")
    assert found.mtu == 1450


def test_an_operator_within_the_allowed_networks_adds_no_address() -> None:
    seen = ["198.51.100.7", "10.0.0.9"]
    assert operator_cidrs(seen, []) == ["198.51.100.7/32", "10.0.0.9/32"]
    assert operator_cidrs(seen, ["198.51.100.0/24"]) == ["198.51.100.0/24", "10.0.0.9/32"]


def test_only_hosts_that_are_still_ours_are_released_and_an_unreachable_one_is_reported_last() -> (
    None
):
    def make(machine: Machine) -> FakeRunner:
        claimed = STACK if machine.name == "alpha" else "ffff0000"
        return FakeRunner(machine).on(f"cat {CLAIM_FILE}", claimed).on("leave")

    hosts = FakePool(make)
    hosts.silent.add("gamma")
    lines: list[str] = []
    with pytest.raises(
        HostError,
        match=r"(?s)gamma .*\nNot cleaned: gamma\. .*remove it from the state with `forget it`",
    ):
        release_hosts(
            [machine("gamma"), machine(), machine("beta")],
            hosts,
            lines.append,
            stack=STACK,
            release=Release(stack="airflow"),
            forget="forget it",
        )
    assert lines == ["alpha: restored to its original state"]
    assert len(hosts.runners["alpha"].commands) == 2
    assert len(hosts.runners["beta"].commands) == 1


@pytest.mark.parametrize(
    ("noted", "owner", "left"),
    [
        (STACK, "", True),
        (STACK, "mine", True),
        (f"{STACK}\nmine", "mine", True),
        (f"{STACK}\nanother's", "mine", False),
        (f"{STACK}\nanother's", "", False),
    ],
    ids=["an older release's", "updated since", "ours", "adopted", "adopted from an older one"],
)
def test_a_host_that_another_resource_has_adopted_stays(
    noted: str, owner: str, *, left: bool
) -> None:
    hosts = FakePool(lambda on: FakeRunner(on).on(f"cat {CLAIM_FILE}", noted).on("leave"))
    lines: list[str] = []
    release = Release(stack="airflow")
    release_hosts([machine()], hosts, lines.append, stack=STACK, owner=owner, release=release)
    assert len(hosts.runners["alpha"].commands) == 1 + left
    assert ("restored to its original state" in lines[0]) == left


def test_packages_are_removed_only_when_asked() -> None:
    assert "apt-get" not in Release(stack="airflow").script
    assert "apt-get" in Release(stack="airflow", remove_engine=True).script
