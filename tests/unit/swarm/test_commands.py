"""Steps in, exact commands out."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from infra.remote.machine import Machine
from infra.swarm import commands
from infra.swarm.joining import InitSwarm, Join, joined_node_id
from infra.swarm.node_updates import NodeChange, update_nodes

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = Machine(
    name="worker-1",
    role="worker",
    address="127.0.0.1",
    host_key="ssh-ed25519 AAAA",
    private_address="10.9.0.101",
)
TIMED_OUT = (
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\r\n"
    '{"message":"Timeout was reached before node joined."}\n\n\n'
)


def test_init_binds_everything_to_the_private_address() -> None:
    command = InitSwarm(machine=MACHINE, address_pool="192.168.0.0/16").command
    assert command.startswith(
        "docker swarm init --advertise-addr 10.9.0.101 --listen-addr 10.9.0.101:2377"
        " --data-path-addr 10.9.0.101 --default-addr-pool 192.168.0.0/16"
        " --cert-expiry 87600h > /dev/null && "
    )
    assert "--default-addr-pool" not in InitSwarm(machine=MACHINE).command


def test_a_join_sends_its_token_by_standard_input_only() -> None:
    step = Join(machine=MACHINE, role="worker", managers=("10.9.0.11",))
    command, stdin = step.command("SWMTKN-secret")
    assert "SWMTKN" not in command
    head, _, body = stdin.decode().partition("\r\n\r\n")
    assert head.startswith("POST /swarm/join HTTP/1.1\r\n")
    assert f"Content-Length: {len(body)}" in head
    assert json.loads(body) == {
        "ListenAddr": "10.9.0.101:2377",
        "AdvertiseAddr": "10.9.0.101",
        "DataPathAddr": "10.9.0.101",
        "RemoteAddrs": ["10.9.0.11:2377"],
        "JoinToken": "SWMTKN-secret",
        "Availability": "drain",
    }


def test_the_answer_to_a_join_is_read() -> None:
    answer = "HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nContent-Length: 0\r\n\r\n\nnode0id\n"
    assert joined_node_id(answer) == "node0id"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (TIMED_OUT, "Timeout was reached before node joined."),
        ("HTTP/1.1 500 Oh\r\n\r\n<html>", "it answered HTTP/1.1 500 Oh"),
        ("", "it answered nothing"),
    ],
)
def test_a_refused_join_has_the_engine_s_output(answer: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        joined_node_id(answer)


def test_labels_and_availability_change_in_one_update_a_node() -> None:
    changes = (
        NodeChange(name="a", node_id="", add_labels={"zone": "a b", "disk": "ssd"}, activate=True),
        NodeChange(name="b", node_id="id-b", remove_labels=("gpu",)),
    )
    assert update_nodes(changes, {"a": "id-a"}) == (
        "docker node update --label-add disk=ssd --label-add 'zone=a b'"
        " --availability active id-a > /dev/null"
        " && docker node update --label-rm gpu id-b > /dev/null"
    )


def test_a_firewall_is_kept_only_after_the_kernel_took_it() -> None:
    lines = commands.LOAD_FIREWALL.splitlines()
    assert lines[0] == "# load the firewall"
    assert lines.index("set -e") < lines.index("umask 077")
    loaded = lines.index('nft -f "$FIREWALL_FILE.new"')
    assert loaded < lines.index('mv -f "$FIREWALL_FILE.new" "$FIREWALL_FILE"')


@pytest.mark.parametrize("command", [commands.FORGET_SWARM, commands.LEAVE_SWARM])
@pytest.mark.parametrize(
    ("answer", "status", "expected"),
    [
        ("Node left the swarm.", 0, 0),
        ("Error response from daemon: This node is not part of a swarm", 1, 0),
        ("Error response from daemon: context deadline exceeded", 1, 1),
    ],
)
def test_a_machine_that_is_in_no_swarm_any_more_has_left(
    tmp_path: Path, command: str, answer: str, status: int, expected: int
) -> None:
    """Its engine may give a swarm up between the look at it and the command."""
    engine = tmp_path / "docker"
    engine.write_text(f"#!/bin/sh\necho '{answer}' >&2\nexit {status}\n")
    engine.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", command],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expected
    assert (answer in done.stderr) is bool(expected)
