"""What machines print, read."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from infra.clock import ClockReading
from infra.remote.machine import Machine
from infra.swarm.certificate import NodeCertificate
from infra.swarm.errors import SwarmError
from infra.swarm.facts import (
    TRUST_MARK,
    MachineFacts,
    SwarmNode,
    certificate_checksum,
    certificate_file,
    parse,
)

MACHINE = Machine(
    name="manager-1",
    role="manager",
    address="127.0.0.1",
    port=2201,
    host_key="ssh-ed25519 AAAA",
    private_address="10.214.0.11",
)

# As Docker 26.1 on Debian 13 prints it.
MANAGER = """
== hostname
manager-1

== ssh
10.214.0.1 49592 10.214.0.11 22

== os
debian

== addresses
[{"ifname":"lo","mtu":65536,"addr_info":[{"family":"inet","local":"127.0.0.1"}]},\
{"ifname":"eth0","mtu":1400,"addr_info":[{"family":"inet","local":"10.214.0.11"}]}]

== nft
/usr/sbin/nft

== firewall
2f0d1b09406d754e
live

== trust
5e88  /etc/docker/certs.d/10.214.0.11:5000/ca.crt

== esp
yes

== engine
running

== info
"26.1.5+dfsg1" "active" true "q1x4" "10.214.0.11" "" \
[{"NodeID":"q1x4","Addr":"10.214.0.11:2377"}] "y8xd"

== nodes
"q1x4" "manager-1" "manager" "active" "ready" "10.214.0.11" {"dairflow.primary":"true"} \
"26.1.5+dfsg1" {"Leader":true,"Reachability":"reachable","Addr":"10.214.0.11:2377"}
"w0rk" "worker-1" "worker" "drain" "down" "10.214.0.111" {} "26.1.5+dfsg1" null

== tokens
SWMTKN-1-aaa-worker
SWMTKN-1-aaa-manager
"""

WORKER_INFO = (
    '"26.1.5" "active" false "w0rk" "10.214.0.111" ""'
    ' [{"NodeID":"b","Addr":"10.214.0.12:2377"},{"NodeID":"a","Addr":"10.214.0.11:2377"}] ""'
)
ALONE_INFO = '"26.1.5" "inactive" false "" "" "" null ""'


def without_swarm(engine: str, info: str = "") -> str:
    head, _, _ = MANAGER.partition("== engine")
    return f"{head}== engine\n{engine}\n" + (f"\n== info\n{info}\n" if info else "")


def test_a_manager_reports_everything() -> None:
    assert parse(MACHINE, MANAGER) == MachineFacts(
        hostname="manager-1",
        ssh_client="10.214.0.1",
        ssh_port=22,
        os_family=("debian",),
        mtus={"127.0.0.1": 65536, "10.214.0.11": 1400},
        has_nft=True,
        firewall_digest="2f0d1b09406d754e",
        trusted={"10.214.0.11:5000": "5e88"},
        esp=True,
        engine="running",
        engine_version="26.1.5+dfsg1",
        swarm_state="active",
        node_id="q1x4",
        node_address="10.214.0.11",
        cluster_id="y8xd",
        remote_managers=("10.214.0.11",),
        nodes=(
            SwarmNode(
                node_id="q1x4",
                hostname="manager-1",
                role="manager",
                availability="active",
                state="ready",
                address="10.214.0.11",
                labels={"dairflow.primary": "true"},
                engine_version="26.1.5+dfsg1",
                leader=True,
                reachability="reachable",
            ),
            SwarmNode(
                node_id="w0rk",
                hostname="worker-1",
                role="worker",
                availability="drain",
                state="down",
                address="10.214.0.111",
                labels={},
                engine_version="26.1.5+dfsg1",
            ),
        ),
        worker_token="SWMTKN-1-aaa-worker",
        manager_token="SWMTKN-1-aaa-manager",
    )


def test_a_worker_reports_its_managers_but_no_cluster_id() -> None:
    observed = parse(MACHINE, without_swarm("running", WORKER_INFO))
    assert (observed.swarm_state, observed.node_id, observed.cluster_id) == ("active", "w0rk", "")
    assert observed.remote_managers == ("10.214.0.11", "10.214.0.12")
    assert observed.nodes == ()
    assert not observed.is_manager


def test_an_engine_in_no_swarm() -> None:
    observed = parse(MACHINE, without_swarm("running", ALONE_INFO))
    assert (observed.engine, observed.swarm_state, observed.remote_managers) == (
        "running",
        "inactive",
        (),
    )


@pytest.mark.parametrize("engine", ["missing", "stopped"])
def test_an_engine_that_does_not_answer(engine: str) -> None:
    observed = parse(MACHINE, without_swarm(engine))
    assert (observed.engine, observed.engine_version, observed.swarm_state) == (
        engine,
        "",
        "inactive",
    )


def test_a_firewall_that_was_altered_or_never_loaded_has_no_digest() -> None:
    assert parse(MACHINE, MANAGER.replace("\nlive", "")).firewall_digest == ""
    text = MANAGER.replace("2f0d1b09406d754e\nlive", "")
    assert parse(MACHINE, text).firewall_digest == ""


def test_a_manager_without_a_quorum_reports_the_reason() -> None:
    head, _, _ = MANAGER.partition("== nodes")
    observed = parse(
        MACHINE, head + "== nodes\n== nodes-error\nThe swarm does not have a leader.\n"
    )
    assert observed.nodes == ()
    assert observed.nodes_error == "The swarm does not have a leader."


@pytest.mark.parametrize(
    ("damaged", "section"),
    [
        ("", "hostname"),
        (MANAGER.replace("10.214.0.1 49592 10.214.0.11 22", ""), "ssh"),
        (MANAGER.replace('[{"ifname"', '{"ifname"'), "addresses"),
        (MANAGER.replace("\nrunning", "\nwalking"), "engine"),
        (MANAGER.replace(' "y8xd"', ""), "info"),
        (MANAGER.replace(" null", ""), "nodes"),
        (MANAGER.replace("SWMTKN-1-aaa-manager\n", ""), "tokens"),
        (f"{MANAGER}== certificate\nnonsense\n", "certificate"),
    ],
)
def test_an_answer_that_is_none_names_machine_and_section(damaged: str, section: str) -> None:
    with pytest.raises(SwarmError, match=rf"^manager-1 .*section '{section}'") as caught:
        parse(MACHINE, damaged)
    assert "SWMTKN" not in str(caught.value)


def test_a_manager_reports_how_long_certificates_are_valid() -> None:
    text = MANAGER.replace('"y8xd"\n', '"y8xd"\n"/var/lib/docker" 7776000000000000\n')
    assert parse(MACHINE, text).certificate_seconds == 90 * 86400
    assert parse(MACHINE, text).cluster_id == "y8xd"


def test_the_swarm_state_on_disk_is_reported_whatever_the_engine_does() -> None:
    observed = parse(MACHINE, f"{without_swarm('stopped')}{disk('swarm-manager')}")
    assert observed.certificate == NodeCertificate(
        node_id="n0de", role="manager", cluster_id="y8xd", not_before=1e9, not_after=2e9
    )
    assert (observed.has_raft, observed.has_copy, observed.holds_swarm) == (True, False, True)
    assert not parse(MACHINE, f"{without_swarm('stopped')}{disk('swarm-worker')}").holds_swarm


def test_a_certificate_expires_by_the_machine_s_own_clock() -> None:
    text = f"== began\n1.5\n{without_swarm('running', ALONE_INFO)}{disk('swarm-manager')}"
    before = parse(MACHINE, f"{text}== ended\n1999999999.9\n", window=(1.0, 2e9))
    assert before.clock == ClockReading(asked=1.0, began=1.5, ended=1999999999.9, answered=2e9)
    assert not before.is_expired
    assert parse(MACHINE, f"{text}== ended\n2000000001.1\n", window=(1.0, 2e9)).is_expired


def disk(unit: str) -> str:
    """Return what the script prints of a node's certificate and the swarm's data."""
    key = ec.generate_private_key(ec.SECP256R1())
    words = {
        NameOID.COMMON_NAME: "n0de",
        NameOID.ORGANIZATIONAL_UNIT_NAME: unit,
        NameOID.ORGANIZATION_NAME: "y8xd",
    }
    name = x509.Name([x509.NameAttribute(oid, word) for oid, word in words.items()])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(1e9, UTC))
        .not_valid_after(datetime.fromtimestamp(2e9, UTC))
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(Encoding.PEM).decode()
    return f"\n== certificate\n{pem}\n== disk\nraft\n"


def test_tokens_are_in_no_text_of_the_facts() -> None:
    assert "SWMTKN" not in repr(parse(MACHINE, MANAGER))


def test_the_planted_certificate_has_the_checksum_that_a_machine_reports() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    planted = certificate_file(pem)
    assert planted.decode() == f"{TRUST_MARK}\n{pem}"
    assert certificate_checksum(pem) == hashlib.sha256(planted).hexdigest()
    assert certificate_checksum(pem.strip()) == certificate_checksum(pem)
