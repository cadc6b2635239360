"""Managers that cannot act: recovered if their certificates expired, never made to forget."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from infra.clock import ClockReading
from infra.swarm.certificate import VALIDITY_DAYS, VALIDITY_SECONDS, NodeCertificate
from infra.swarm.dismantle import dismantle
from infra.swarm.errors import SwarmError, SwarmUnreachableError
from infra.swarm.membership import assess
from infra.swarm.observe import observe
from infra.swarm.plan import plan
from infra.swarm.preparation import StartEngine
from infra.swarm.reconcile import reconcile
from infra.swarm.recovery import RecoverSwarm, recovery
from infra.swarm.validity import SetCertificateValidity
from tests.fake_remote import FakePool, FakeRunner

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import World

    from infra.swarm.cluster import Cluster
    from infra.swarm.facts import MachineFacts

TRIO = ("manager-1", "worker-1", "worker-2")
LOST = ("manager-2", "manager-3")
NOW = 1795780800.0
DAY = 86400.0
EXPIRED = "x509: certificate has expired or is not yet valid: "


def clock(ahead: float = 0.0) -> ClockReading:
    return ClockReading(
        asked=NOW, began=NOW + ahead + 0.1, ended=NOW + ahead + 0.2, answered=NOW + 0.3
    )


def certificate(name: str, cluster_id: str = "ours", **times: float) -> NodeCertificate:
    return NodeCertificate(
        node_id=f"id-{name}",
        role=name.split("-", maxsplit=1)[0],
        cluster_id=cluster_id,
        not_before=times.get("since", NOW - 100 * DAY),
        not_after=times.get("until", NOW - 10 * DAY),
    )


def in_error(observed: MachineFacts, **changes: Any) -> MachineFacts:
    """Return the report of an engine that could not start its part in its swarm."""
    name = observed.hostname
    return replace(
        observed,
        swarm_state="error",
        swarm_error=EXPIRED,
        node_id="",
        cluster_id="",
        nodes=(),
        remote_managers=(),
        certificate=certificate(name),
        has_raft=name.startswith("manager"),
        clock=clock(),
        **changes,
    )


def expired(world: World, cluster: Cluster, *names: str) -> dict[str, MachineFacts]:
    facts = world.observed(cluster)
    return facts | {name: in_error(facts[name]) for name in names}


def test_the_first_manager_takes_the_swarm_up_from_its_disk(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    (stage,) = recovery(cluster, expired(trio, cluster, *TRIO), cluster_id="ours")
    manager = trio.machines["manager-1"]
    step = RecoverSwarm(machine=manager, address_pool="192.168.0.0/16", is_expired=True)
    assert stage.lanes == ((step,),)


def test_a_swarm_that_acts_is_not_recovered(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    assert recovery(cluster, trio.observed(cluster)) == ()
    assert recovery(cluster, expired(trio, cluster, "worker-1")) == ()


def test_another_swarm_s_manager_is_not_recovered_but_refused(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    facts = expired(trio, cluster, "manager-1")
    assert recovery(cluster, facts, cluster_id="before") == ()
    with pytest.raises(SwarmError, match=r"manager-1 .*a manager of a swarm, but cannot act"):
        plan(cluster, facts, cluster_id="before")


@pytest.mark.parametrize(
    ("gone", "recovers"),
    [
        (["manager-1"], False),
        (["manager-1", "manager-2"], True),
        (["manager-2", "manager-3"], True),
        (["manager-1", "manager-2", "manager-3"], True),
    ],
)
def test_it_takes_so_many_that_the_others_have_no_quorum(
    trio: World, gone: list[str], *, recovers: bool
) -> None:
    """The others wait for a leader: they cannot list the nodes."""
    for name in ("manager-2", "manager-3"):
        trio.joined(name)
    cluster = trio.cluster("manager-1", "manager-2", "manager-3", "worker-1", "worker-2")
    facts = expired(trio, cluster, *gone)
    for name in {"manager-1", "manager-2", "manager-3"} - set(gone):
        facts[name] = replace(
            facts[name],
            nodes=(),
            nodes_error="no leader",
            certificate=certificate(name, until=NOW + DAY),
            has_raft=True,
            clock=clock(),
        )
    assert bool(recovery(cluster, facts)) is recovers


def test_a_manager_that_expired_alone_joins_the_others_again(trio: World) -> None:
    """They have the swarm's data, so that its own copy is not needed."""
    for name in ("manager-2", "manager-3"):
        trio.joined(name)
    cluster = trio.cluster("manager-1", "manager-2", "manager-3", "worker-1", "worker-2")
    facts = expired(trio, cluster, "manager-1", "worker-2")
    assert recovery(cluster, facts) == ()
    membership = assess(cluster, facts)
    assert membership.lost == {"manager-1", "worker-2"}
    assert membership.manager == trio.machines["manager-2"]
    assert {node.node_id for node in membership.stale_nodes} == {"id-manager-1", "id-worker-2"}


def test_managers_that_a_recovery_left_out_are_only_taken_off_the_list(trio: World) -> None:
    """They are no longer in Raft, and only members of Raft can be demoted."""
    for name in ("manager-2", "manager-3"):
        trio.joined(name, reachability="", state="unknown")
    cluster = trio.cluster("manager-1", "manager-2", "manager-3", "worker-1", "worker-2")
    stages = {stage.title: stage.lanes for stage in plan(cluster, expired(trio, cluster, *LOST))}
    begin = [step.todo for lane in stages["begin"] for step in lane]
    assert sorted(begin) == [
        "manager-2: leave a lost swarm",
        "manager-2: remove the node from the swarm's list",
        "manager-3: leave a lost swarm",
        "manager-3: remove the node from the swarm's list",
    ]
    assert [step.subject for lane in stages["join"] for step in lane] == ["manager-2", "manager-3"]

    fewer = trio.cluster(*TRIO)
    leaving = tuple(trio.machines[name] for name in LOST)
    titles = {s.title for s in plan(fewer, expired(trio, cluster, *LOST), leaving=leaving)}
    assert "demote" not in titles


def test_certificates_that_expired_by_a_wrong_clock_are_left_alone(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    facts = expired(trio, cluster, *TRIO)
    facts["manager-1"] = replace(facts["manager-1"], clock=clock(ahead=400 * DAY))
    with pytest.raises(SwarmError, match=r"^manager-1 .*its clock is at 2028-01-01 .* s ahead"):
        recovery(cluster, facts)


def test_a_wrong_clock_is_refused_on_any_machine(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    facts = trio.observed(cluster)
    facts["worker-2"] = replace(facts["worker-2"], clock=clock(ahead=-7.5))
    with pytest.raises(SwarmError, match=r"^worker-2 .* it is at least 7 s behind"):
        plan(cluster, facts)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"swarm_error": "disk I/O error"}, r"state error: disk I/O error\)\nNext: fix the error"),
        (
            {"certificate": certificate("manager-1", since=NOW + DAY, until=NOW + 90 * DAY)},
            r"valid from 2026-11-28 12:00:00 UTC on, but its clock is at 2026-11-27 12:00:00 UTC",
        ),
        ({"swarm_state": "inactive", "swarm_error": ""}, r"swarm init --force-new-cluster"),
        ({"swarm_state": "locked"}, r"docker swarm unlock"),
        ({"certificate": None}, r"state error: x509: certificate has expired or is not"),
    ],
)
def test_a_manager_with_its_swarm_on_disk_is_never_made_to_forget_it(
    trio: World, changes: dict[str, Any], reason: str
) -> None:
    cluster = trio.cluster(*TRIO)
    facts = expired(trio, cluster, "manager-1")
    valid = {"certificate": certificate("manager-1", until=NOW + DAY)}
    facts["manager-1"] = replace(facts["manager-1"], **{**valid, **changes})
    for known in (None, "ours"):
        assert recovery(cluster, facts, cluster_id=known) == ()
        with pytest.raises(SwarmError, match=rf"(?s)^manager-1 .*{reason}"):
            plan(cluster, facts, cluster_id=known)


def test_a_second_manager_in_error_is_kept_too(trio: World) -> None:
    for name in ("manager-2", "manager-3"):
        trio.joined(name)
    cluster = trio.cluster("manager-1", "manager-2", "manager-3", "worker-1", "worker-2")
    facts = expired(trio, cluster, "manager-3")
    facts["manager-3"] = replace(
        facts["manager-3"],
        swarm_error="disk I/O error",
        certificate=certificate("manager-3", until=NOW + DAY),
    )
    with pytest.raises(SwarmError, match=r"^manager-3 .*disk I/O error"):
        plan(cluster, facts)


def test_a_manager_that_the_others_removed_while_it_was_off_joins_again(trio: World) -> None:
    trio.joined("manager-2")
    cluster = trio.cluster("manager-1", "manager-2", "worker-1", "worker-2")
    facts = expired(trio, cluster, "manager-2")
    facts["manager-2"] = replace(
        facts["manager-2"], certificate=certificate("manager-2", until=NOW + DAY)
    )
    with pytest.raises(SwarmError, match=r"^manager-2 .*cannot act"):
        assess(cluster, facts)
    left = tuple(n for n in facts["manager-1"].nodes if n.hostname != "manager-2")
    facts["manager-1"] = replace(facts["manager-1"], nodes=left)
    assert assess(cluster, facts).lost == {"manager-2"}


@pytest.mark.parametrize(("whose", "refused"), [("ours", False), ("theirs", True)])
def test_a_stopped_engine_of_another_swarm_is_left_there(
    world: World, whose: str, *, refused: bool
) -> None:
    for name in TRIO:
        world.machine(name)
    cluster = world.cluster(*TRIO)
    facts = world.observed(cluster)
    of_before = certificate("worker-1", whose, until=NOW + DAY)
    facts["worker-1"] = replace(facts["worker-1"], engine="stopped", certificate=of_before)
    if not refused:
        assert assess(cluster, facts, cluster_id="ours").lost == {"worker-1"}
        return
    with pytest.raises(SwarmError, match=r"^worker-1 .*not this cluster's"):
        assess(cluster, facts, cluster_id="ours")


def test_what_a_demotion_left_on_the_disk_is_not_a_swarm(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    facts = expired(trio, cluster, "worker-1")
    facts["worker-1"] = replace(facts["worker-1"], has_raft=True)
    assert assess(cluster, facts).lost == {"worker-1"}


def test_engines_that_are_stopped_are_started_before_anything_is_judged(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    facts = trio.observed(cluster)
    facts["manager-1"] = replace(
        facts["manager-1"],
        engine="stopped",
        swarm_state="inactive",
        node_id="",
        cluster_id="",
        nodes=(),
        certificate=certificate("manager-1", until=NOW + DAY),
        has_raft=True,
    )
    (stage,) = recovery(cluster, facts)
    assert stage.lanes == ((StartEngine(machine=trio.machines["manager-1"]),),)
    with pytest.raises(SwarmError, match="its engine is stopped"):
        plan(cluster, facts)


def test_a_recovery_that_was_interrupted_goes_on(trio: World) -> None:
    """The engine has left, and a copy is all that has the swarm."""
    cluster = trio.cluster(*TRIO)
    facts = trio.observed(cluster)
    facts["manager-1"] = replace(
        trio.facts["manager-1"], swarm_state="inactive", has_copy=True, clock=clock()
    )
    assert recovery(cluster, facts)
    with pytest.raises(SwarmError, match="cannot act as one now"):
        plan(cluster, facts)


def test_after_a_recovery_the_machines_are_asked_again(
    trio: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = trio.cluster(*TRIO)
    observed = iter([expired(trio, cluster, "manager-1"), trio.observed(cluster)])
    monkeypatch.setattr("infra.swarm.reconcile.gather", lambda *_a, **_k: dict(next(observed)))
    monkeypatch.setattr("infra.swarm.reconcile._gather_leaving", lambda *_a: {})
    pool = FakePool(lambda machine: FakeRunner(machine).on("# recover the swarm"))
    lines: list[str] = []
    assert reconcile(cluster, pool, lines.append, cluster_id="ours").cluster_id == "ours"
    assert [line.split(" (")[0] for line in lines] == [
        "manager-1: swarm recovered from its disk; the other nodes join it again"
    ]


def test_a_recovery_that_does_not_help_is_not_repeated_for_ever(
    trio: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each one stops what runs on the manager."""
    cluster = trio.cluster(*TRIO)
    facts = expired(trio, cluster, *TRIO)
    monkeypatch.setattr("infra.swarm.reconcile.gather", lambda *_a, **_k: dict(facts))
    monkeypatch.setattr("infra.swarm.reconcile._gather_leaving", lambda *_a: {})
    pool = FakePool(lambda machine: FakeRunner(machine).on("# recover the swarm"))
    with pytest.raises(SwarmError, match=r"^manager-1 .*cannot act as one now"):
        reconcile(cluster, pool, print, cluster_id="ours")
    assert len(pool.runners["manager-1"].commands) <= 2


ENGINE = """#!/bin/sh
certificate=$SWARM_ROOT/swarm/certificates/swarm-node.crt
case "$1 $2" in
    'info '*) echo "$SWARM_ROOT"; exit 0 ;;
    'swarm leave') rm -rf "$SWARM_ROOT/swarm" ;;
    'swarm init')
        if [ -e "$SWARM_ROOT/refusing" ]; then
            rm "$SWARM_ROOT/refusing"
            echo refused >> "$LOG"
            exit 1
        fi
        (sleep 0.3; echo renewed > "$certificate"; echo renewed >> "$LOG") &
        ;;
esac
kept=$(ls "$SWARM_ROOT")
echo "$*" '|' $kept >> "$LOG"
"""
INIT = (
    "swarm init --force-new-cluster --advertise-addr 10.9.0.19 --listen-addr 10.9.0.19:2377"
    " --data-path-addr 10.9.0.19"
)


def recover(tmp_path: Path, world: World, *, is_expired: bool, refuses: bool) -> list[str]:
    """Run the recovery with an engine that renews its certificate a moment after it starts."""
    root, log, engine = tmp_path / "root", tmp_path / "log", tmp_path / "bin" / "docker"
    (root / "swarm" / "certificates").mkdir(parents=True)
    (root / "swarm" / "certificates" / "swarm-node.crt").write_text("old")
    (root / "swarm" / "docker-state.json").write_text("{}")
    if refuses:
        (root / "refusing").touch()
    engine.parent.mkdir()
    engine.write_text(ENGINE)
    engine.chmod(0o755)
    step = RecoverSwarm(machine=world.machine("manager-9"), is_expired=is_expired)
    subprocess.run(
        ["sh", "-c", step.command],
        env={"PATH": f"{engine.parent}:/usr/bin:/bin", "SWARM_ROOT": str(root), "LOG": str(log)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    assert not (root / "swarm" / "docker-state.json").exists() or not refuses
    return log.read_text().splitlines()


def test_a_recovery_ends_when_the_certificate_is_renewed(tmp_path: Path, trio: World) -> None:
    log = recover(tmp_path, trio, is_expired=True, refuses=False)
    assert log == [f"{INIT} | swarm", "renewed"]


def test_a_recovery_with_a_valid_certificate_does_not_wait(tmp_path: Path, trio: World) -> None:
    log = recover(tmp_path, trio, is_expired=False, refuses=False)
    assert log == [f"{INIT} | swarm"]


def test_a_copy_outlives_the_leaving_and_goes_before_the_swarm_acts(
    tmp_path: Path, trio: World
) -> None:
    log = recover(tmp_path, trio, is_expired=True, refuses=True)
    assert log == [
        "refused",
        "swarm leave --force | swarm.kept",
        f"{INIT} | swarm",
        "renewed",
    ]


def test_the_swarm_is_not_gone_but_expired(trio: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = trio.cluster(*TRIO)
    facts = expired(trio, cluster, *TRIO)
    monkeypatch.setattr("infra.swarm.observe.gather", lambda *_a, **_k: dict(facts))
    with pytest.raises(SwarmUnreachableError, match=r"^manager-1: its certificate has expired"):
        observe(cluster, FakePool(), cluster_id="ours")


def test_an_older_swarm_gets_the_longer_validity(trio: World) -> None:
    cluster = trio.cluster(*TRIO)
    facts = trio.observed(cluster)
    facts["manager-1"] = replace(facts["manager-1"], certificate_seconds=90 * DAY)
    (stage,) = plan(cluster, facts)
    (step,) = stage.lanes[0]
    assert step == SetCertificateValidity(via=cluster.machines[0], days=VALIDITY_DAYS)
    assert step.todo == "manager-1: set the validity of the swarm's certificates to 3650 days"
    assert step.done == (
        "manager-1: the swarm's certificates are valid for 3650 days from their renewal on"
    )
    facts["manager-1"] = replace(facts["manager-1"], certificate_seconds=float(VALIDITY_SECONDS))
    assert plan(cluster, facts) == ()


def test_taking_apart_leaves_another_swarm_s_manager_alone(
    trio: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = trio.cluster("manager-1")
    facts = expired(trio, trio.cluster(*TRIO), "manager-1")
    monkeypatch.setattr("infra.swarm.dismantle.gather", lambda *_a, **_k: dict(facts))

    def left(cluster_id: str) -> bool:
        pool = FakePool(lambda machine: FakeRunner(machine).on("nft").on("swarm leave"))
        dismantle(cluster, pool, print, cluster_id=cluster_id)
        return any("swarm leave" in command for command in pool.runners["manager-1"].commands)

    assert left("ours")
    assert not left("another")
