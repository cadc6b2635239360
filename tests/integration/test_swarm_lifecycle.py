"""The lifecycle of a real swarm: create, keep, grow, shrink, repair and remove it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import tenacity

from infra.remote.runner import RemoteError
from infra.swarm import join_tokens, ownership
from infra.swarm.cluster import MACHINE_LABEL, PRIMARY_LABEL, Cluster
from infra.swarm.dismantle import dismantle
from infra.swarm.errors import SwarmError, SwarmNotFoundError
from infra.swarm.execute import Execution
from infra.swarm.joining import Join
from infra.swarm.observe import observe
from infra.swarm.reconcile import reconcile
from infra.swarm.roles import ROLE_CHANGE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Lab, Trio

    from infra.remote.machine import Machine

pytestmark = pytest.mark.integration

PROBE_IMAGE = "dairflow/probe:latest"
# Ends by itself, cleanly, five seconds after the signal.
FINISHES_ITS_WORK = "trap 'sleep 5; exit 0' TERM; while :; do sleep 0.1; done"


def listed(trio: Trio) -> dict[str, tuple[str, str, str]]:
    """Return state, availability and manager status by host name, as ``docker node ls`` has it."""
    lines = trio.docker("node ls --format '{{json .}}'").splitlines()
    nodes = [json.loads(line) for line in lines]
    return {n["Hostname"]: (n["Status"], n["Availability"], n["ManagerStatus"]) for n in nodes}


def until(seen: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something outside is so."""
    tenacity.Retrying(
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_fixed(0.2),
        retry=tenacity.retry_if_result(lambda result: not result),
    )(seen)


def identities(trio: Trio) -> dict[str, tuple[str, str]]:
    """Return container and node ID of the three, which nothing here may change."""
    return {
        machine.name: (
            trio.lab.container(machine.name).id or "",
            trio.lab.run(machine, "docker info --format '{{.Swarm.NodeID}}'"),
        )
        for machine in trio.cluster.machines
    }


def test_three_machines_are_one_swarm_with_a_firewall(trio: Trio) -> None:
    assert listed(trio) == {
        "manager-1": ("Ready", "Active", "Leader"),
        "worker-1": ("Ready", "Active", ""),
        "worker-2": ("Ready", "Active", ""),
    }
    by_name = {node.name: node for node in trio.state.nodes}
    assert by_name["manager-1"].labels == {PRIMARY_LABEL: "true", MACHINE_LABEL: "manager-1"}
    assert by_name["worker-2"].labels == {MACHINE_LABEL: "worker-2"}
    assert len({node.firewall_digest for node in trio.state.nodes}) == 1
    assert by_name["worker-1"].firewall_digest


def test_the_last_resource_that_claimed_it_owns_what_is_on_a_swarm(trio: Trio) -> None:
    runner = trio.lab.pool.runner(trio.cluster.machines[0])
    assert ownership.owner_of(runner, "stack") == ""
    for owner in ("first", "second", "second"):
        ownership.claim(runner, "stack", owner)
        ownership.claim(runner, "registry", f"{owner}-registry")
    assert ownership.owner_of(runner, "stack") == "second"
    assert ownership.owner_of(runner, "registry") == "second-registry"
    names = runner.run("docker config ls -q --filter name=dairflow-owner").stdout.split()
    assert len(names) == 2
    runner.run(f"docker config rm {' '.join(names)}")


def test_a_second_run_takes_no_step(trio: Trio) -> None:
    state = trio.reconcile(trio.cluster, cluster_id=trio.state.cluster_id)
    assert trio.lab.reports == []
    assert state == trio.state
    assert observe(trio.cluster, trio.lab.pool).pending == ()


def test_one_more_worker_leaves_the_others_as_they_are(trio: Trio, probe_image: bytes) -> None:
    before = identities(trio)
    newcomer = trio.lab.machine("worker-3", labels={"disk": "ssd"})
    state = trio.reconcile(trio.with_machines(newcomer))
    assert identities(trio) == before
    assert listed(trio)["worker-3"] == ("Ready", "Active", "")
    assert {n.name: n.labels for n in state.nodes}["worker-3"]["disk"] == "ssd"
    joined = [line for line in trio.lab.reports if "joined" in line]
    assert [line.split(" (")[0] for line in joined] == ["worker-3: joined the swarm as worker"]

    trio.load(probe_image, newcomer)
    trio.docker(
        "service create --detach --quiet --no-resolve-image --name slow --stop-grace-period 30s"
        f" --constraint node.labels.disk==ssd {PROBE_IMAGE} sh -c {FINISHES_ITS_WORK!r}"
    )
    until(lambda: "Running" in trio.docker("service ps slow --format '{{.CurrentState}}'"))
    task = trio.docker("service ps slow --no-trunc --quiet").splitlines()[0]
    begun = time.monotonic()
    trio.restore(newcomer)
    assert time.monotonic() - begun > 4, "the task's own end was not waited for"
    assert set(listed(trio)) == {"manager-1", "worker-1", "worker-2"}
    assert any("waiting for slow.1 to end" in line for line in trio.lab.reports)
    status = json.loads(trio.docker(f"inspect {task}"))[0]["Status"]
    assert status["ContainerStatus"]["ExitCode"] == 0, "the task was killed"
    assert identities(trio) == before

    left = trio.lab.run(
        newcomer, "docker info --format '{{.Swarm.LocalNodeState}}'; nft list tables"
    )
    assert left.split()[0] == "inactive"
    assert "dairflow" not in left
    trio.docker("service rm slow")
    trio.lab.remove("worker-3")


def test_a_recreated_worker_replaces_its_dead_predecessor(
    trio: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.swarm.reconcile.LEAVING_CONNECT_SECONDS", 3)
    trio.reconcile(trio.with_machines(trio.lab.machine("worker-3")))
    trio.lab.remove("worker-3")
    again = trio.lab.machine("worker-3")
    state = trio.reconcile(trio.with_machines(again))
    assert "worker-3: removed from the swarm's list" in "\n".join(trio.lab.reports)
    assert [node.name for node in state.nodes].count("worker-3") == 1
    assert listed(trio)["worker-3"] == ("Ready", "Active", "")

    trio.lab.container("worker-3").stop()
    trio.restore(again)
    assert "worker-3: does not answer" in "\n".join(trio.lab.reports)
    assert set(listed(trio)) == {"manager-1", "worker-1", "worker-2"}
    trio.lab.remove("worker-3")


def test_a_restarted_node_is_back_with_its_firewall(trio: Trio) -> None:
    node = trio.cluster.machines[2]
    before = identities(trio)
    rules = trio.lab.run(node, "nft -s list table inet dairflow")
    trio.lab.container("worker-2").restart()
    state = trio.reconcile(trio.cluster)
    assert [line for line in trio.lab.reports if "worker-2" in line] == []
    assert state.pending == ()
    assert identities(trio) == before
    assert trio.lab.run(node, "nft -s list table inet dairflow") == rules


def test_labels_follow_the_settings(trio: Trio) -> None:
    manager, worker, other = trio.cluster.machines
    labelled = replace(worker, labels={"zone": "a b", "gpu": "1"})
    state = trio.reconcile(replace(trio.cluster, machines=(manager, labelled, other)))
    labels = {node.name: node.labels for node in state.nodes}
    assert labels["worker-1"] == {MACHINE_LABEL: "worker-1", "zone": "a b", "gpu": "1"}
    state = trio.restore()
    labels = {node.name: node.labels for node in state.nodes}
    assert labels["worker-1"] == {MACHINE_LABEL: "worker-1"}


@pytest.mark.parametrize(
    ("damage", "pending"),
    [
        ("nft delete table inet dairflow", "load the firewall for 3 members"),
        (
            "nft add rule inet dairflow input tcp dport 23 accept",
            "load the firewall for 3 members",
        ),
    ],
)
def test_a_firewall_altered_by_hand_is_seen_and_mended(
    trio: Trio, damage: str, pending: str
) -> None:
    worker = trio.cluster.machines[1]
    trio.lab.run(worker, damage)
    assert observe(trio.cluster, trio.lab.pool).pending == (f"worker-1: {pending}",)
    trio.restore()
    assert "dport 23" not in trio.lab.run(worker, "nft list table inet dairflow")


def test_a_registry_is_trusted_and_trusted_no_more(trio: Trio) -> None:
    trusting = replace(trio.cluster, trusted_registries={"10.0.0.9:5000": "-----BEGIN …"})
    trio.reconcile(trusting)
    worker = trio.cluster.machines[1]
    planted = "/etc/docker/certs.d/10.0.0.9:5000/ca.crt"
    assert "-----BEGIN" in trio.lab.run(worker, f"cat {planted}")
    trio.restore()
    assert trio.lab.run(worker, f"test -e {planted} || echo gone") == "gone\n"


def test_a_rotated_join_token_admits_nobody_and_the_nodes_stay(trio: Trio) -> None:
    before = identities(trio)
    newcomer = trio.lab.machine("worker-5")
    trio.reconcile(trio.with_machines(newcomer))
    leaked = {role: trio.docker(f"swarm join-token -q {role}") for role in ("worker", "manager")}
    join_tokens.rotate(trio.lab.pool.runner(trio.manager))
    trio.lab.run(newcomer, "docker swarm leave")
    to_manager = (trio.manager.private_address,)
    for role in ("worker", "manager"):
        join = Join(machine=newcomer, role=role, managers=to_manager)
        execution = Execution(trio.lab.pool, trio.lab.report, tokens=leaked)
        with pytest.raises(RemoteError, match="valid join token"):
            join.take(execution)
    trio.reconcile(trio.with_machines(newcomer))
    assert listed(trio)["worker-5"] == ("Ready", "Active", "")
    assert identities(trio) == before
    trio.restore(newcomer)
    trio.lab.remove("worker-5")


def test_one_manager_to_three_and_back(trio: Trio) -> None:
    more = trio.lab.machines("manager-2", "manager-3")
    trio.reconcile(trio.with_machines(*more))
    managers = {name: status for name, (*_, status) in listed(trio).items() if status}
    assert managers == {
        "manager-1": "Leader",
        "manager-2": "Reachable",
        "manager-3": "Reachable",
    }
    # The leader is one of those that go, which is the case that can leave a swarm without any.
    acts = "docker info --format '{{.Swarm.ControlAvailable}}'"
    trio.docker("node demote manager-1")
    until(lambda: trio.lab.run(trio.manager, acts) == "false\n")
    promote = "docker node promote manager-1"
    until(lambda: not trio.lab.pool.runner(more[0]).run(promote, check=False).exit_status)
    until(
        lambda: "Reachable" in trio.lab.run(more[0], _status_of("manager-1")), ROLE_CHANGE_SECONDS
    )
    trio.restore(*more)
    assert listed(trio)["manager-1"] == ("Ready", "Active", "Leader")
    assert set(listed(trio)) == {"manager-1", "worker-1", "worker-2"}
    for machine in more:
        trio.lab.remove(machine.name)


def _status_of(name: str) -> str:
    return f"docker node ls --filter name={name} --format '{{{{.ManagerStatus}}}}'"


def test_a_member_of_another_swarm_is_refused_untouched(trio: Trio) -> None:
    outsider = trio.lab.machine("worker-4")
    trio.lab.run(outsider, f"docker swarm init --advertise-addr {outsider.address}")
    before = trio.lab.run(outsider, "docker info --format '{{.Swarm.Cluster.ID}}'")
    with pytest.raises(SwarmError, match=r"worker-4 .*manager of swarm .*\nNext: .*swarm leave"):
        trio.reconcile(trio.with_machines(outsider), cluster_id=trio.state.cluster_id)
    assert trio.lab.run(outsider, "docker info --format '{{.Swarm.Cluster.ID}}'") == before
    assert "worker-4" not in listed(trio)
    trio.lab.remove("worker-4")


def test_a_firewall_that_would_shut_the_operator_out_is_refused(trio: Trio) -> None:
    policy = trio.lab.policy(operator_cidrs=("203.0.113.0/24",))
    with pytest.raises(SwarmError, match=f"would lock you out.*comes from {trio.lab.gateway}"):
        trio.reconcile(replace(trio.cluster, firewall=policy))
    assert trio.lab.run(trio.manager, "echo still here") == "still here\n"


def test_teardown_leaves_engines_and_nothing_of_the_stack(
    own_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.swarm.dismantle.CONNECT_SECONDS", 2)
    machine = own_lab.machine("manager-1")
    cluster = Cluster(
        name="solo",
        machines=(machine,),
        firewall=own_lab.policy(),
        trusted_registries={"10.0.0.9:5000": "-----BEGIN …"},
    )
    _reconcile_alone(own_lab, cluster)
    gone = replace(machine, name="worker-9", role="worker", address="127.0.0.1", port=9)
    silent = dismantle(replace(cluster, machines=(machine, gone)), own_lab.pool, own_lab.report)
    assert silent == ("worker-9",)
    left = own_lab.run(
        machine,
        "docker info --format '{{.Swarm.LocalNodeState}}'; nft list tables;"
        " ls -d /etc/dairflow /etc/docker/certs.d/* 2>&1 | grep -v 'No such file'; true",
    )
    assert left.split()[0] == "inactive"
    assert "dairflow" not in left
    assert "certs.d" not in left
    with pytest.raises(SwarmNotFoundError):
        observe(cluster, own_lab.pool)


def _reconcile_alone(lab: Lab, cluster: Cluster) -> None:
    reconcile(cluster, lab.pool, lab.report)
    assert len(lab.reports) > 2


def test_the_machine_is_awaited_while_it_boots(own_lab: Lab) -> None:
    """Reconciling begins before sshd and the engine are up, as after every machine's start."""
    machine: Machine = own_lab.machine("manager-1")
    _reconcile_alone(own_lab, Cluster(name="early", machines=(machine,), firewall=own_lab.policy()))
