"""Machines as data, errors as messages, the fake runner, key pairs."""

from __future__ import annotations

import io
import json

import paramiko
import pytest

from infra.remote.keys import generate_key_pair
from infra.remote.machine import Machine
from infra.remote.runner import Completed, RemoteError, shown_command
from infra.remote.ssh import connect
from tests.fake_remote import FakePool, FakeRunner

MACHINE = Machine(
    name="worker-1",
    role="worker",
    address="127.0.0.1",
    port=2201,
    user="admin",
    host_key="ssh-ed25519 AAAA",
    private_address="10.9.0.101",
    labels={"disk": "ssd"},
)


def test_a_machine_survives_a_state_that_has_only_floats() -> None:
    stored = json.loads(json.dumps({**MACHINE.to_dict(), "port": 2201.0}))
    assert Machine.from_dict(stored) == MACHINE
    assert isinstance(Machine.from_dict(stored).port, int)


def test_a_machine_without_the_optional_fields() -> None:
    required = {"name", "role", "address", "host_key", "private_address"}
    stored = {key: value for key, value in MACHINE.to_dict().items() if key in required}
    machine = Machine.from_dict(stored)
    assert (machine.port, machine.user, machine.labels) == (22, "root", {})


def test_a_failed_command_reports_machine_command_status_and_last_lines() -> None:
    stderr = "\n".join(f"line {number}" for number in range(1, 21))
    completed = Completed(stdout="the-secret", stderr=stderr, exit_status=5)
    text = str(RemoteError.of_command(MACHINE, "docker swarm init\nsecond line", completed))
    assert text.startswith("worker-1 (admin@127.0.0.1:2201): `docker swarm init …`: exit status 5:")
    assert "line 20" in text
    assert "line 12" not in text
    assert "the-secret" not in text


def test_an_error_ends_with_the_next_step() -> None:
    error = RemoteError(machine=MACHINE, tried="tried", answer="answer", next_step="do this")
    assert str(error) == "worker-1 (admin@127.0.0.1:2201): tried: answer\nNext: do this"


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("true", "`true`"),
        ("\nset -e\nmore", "`set -e …`"),
        ("# load it\nset -e", "load it"),
        ("x" * 200, f"`{'x' * 160} …`"),
    ],
)
def test_a_command_is_shown_in_one_line(command: str, shown: str) -> None:
    assert shown_command(command) == shown


def test_a_key_pair_is_openssh_s_and_its_private_half_is_in_no_text() -> None:
    pair = generate_key_pair()
    key = paramiko.Ed25519Key.from_private_key(io.StringIO(pair.private))
    assert pair.public == f"ssh-ed25519 {key.get_base64()}"
    assert "PRIVATE" not in repr(pair)
    assert generate_key_pair().private != pair.private


@pytest.mark.parametrize("host_key", ["", "ssh-ed25519", "ssh-ed25519 !!!", "nonsense AAAA"])
def test_a_host_key_that_is_none_is_refused_before_any_connection(host_key: str) -> None:
    machine = Machine.from_dict({**MACHINE.to_dict(), "host_key": host_key})
    with pytest.raises(RemoteError, match="is not an OpenSSH public key"):
        connect(machine, generate_key_pair().private, timeout=5)


def test_a_private_key_that_is_none_is_refused_and_not_shown() -> None:
    with pytest.raises(RemoteError, match="not an Ed25519, ECDSA or RSA key") as caught:
        connect(MACHINE, "the-secret", timeout=5)
    assert "the-secret" not in str(caught.value)


def test_the_fake_answers_by_rule_and_in_turn() -> None:
    runner = FakeRunner(MACHINE).on("info", "first", "second")
    assert [runner.run("docker info").stdout for _ in range(3)] == ["first", "second", "second"]
    assert runner.commands == ["docker info"] * 3


def test_the_fake_fails_like_a_machine() -> None:
    runner = FakeRunner(MACHINE).on("rm", Completed(stdout="", stderr="no", exit_status=1))
    assert runner.run("rm x", check=False).exit_status == 1
    with pytest.raises(RemoteError, match="exit status 1: no"):
        runner.run("rm x")


def test_the_fake_has_no_answer_of_its_own() -> None:
    with pytest.raises(AssertionError, match="no answer was scripted for 'docker info'"):
        FakeRunner(MACHINE).run("docker info")


def test_the_fake_pool_has_one_runner_a_machine_and_silent_ones() -> None:
    pool = FakePool()
    assert pool.runner(MACHINE) is pool.runner(MACHINE)
    pool.silent.add("worker-1")
    with pytest.raises(RemoteError, match="no answer"):
        pool.runner(MACHINE)
