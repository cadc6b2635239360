"""SSH to a real node: what is refused, what is bounded, and that errors keep secrets."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra.remote import deadline
from infra.remote.keys import generate_key_pair
from infra.remote.runner import RemoteError
from infra.remote.ssh import connect

if TYPE_CHECKING:
    from conftest import Lab, Trio

    from infra.remote.machine import Machine

pytestmark = pytest.mark.integration


@pytest.fixture
def machine(trio: Trio) -> Machine:
    return trio.cluster.machines[1]


def test_output_status_and_errors_come_back(lab: Lab, machine: Machine) -> None:
    runner = lab.pool.runner(machine)
    completed = runner.run("cat; echo wrong >&2; exit 3", stdin=b"right", check=False)
    assert (completed.stdout, completed.stderr, completed.exit_status) == ("right", "wrong\n", 3)


def test_megabytes_on_every_stream_at_once_do_not_block(lab: Lab, machine: Machine) -> None:
    megabytes = b"x" * (6 * 2**20)
    completed = lab.pool.runner(machine).run("tee /dev/stderr", stdin=megabytes)
    assert len(completed.stdout) == len(megabytes)
    assert len(completed.stderr) == len(megabytes)


def test_a_failed_command_is_reported_without_its_input(lab: Lab, machine: Machine) -> None:
    with pytest.raises(RemoteError) as caught:
        lab.run(machine, "cat; echo no such thing >&2; exit 7", stdin=b"the-secret")
    text = str(caught.value)
    assert machine.name in text
    assert "exit status 7: no such thing" in text
    assert "the-secret" not in text


def test_another_host_key_is_refused_at_once(lab: Lab, machine: Machine) -> None:
    other = replace(machine, host_key=generate_key_pair().public)
    begun = time.monotonic()
    with pytest.raises(RemoteError, match=r"it shows ssh-ed25519 SHA256:.*No data was sent"):
        connect(other, lab.operator.private, timeout=30)
    assert time.monotonic() - begun < 15, "a wrong host key must not be retried"


def test_another_client_key_is_refused_at_once(machine: Machine) -> None:
    begun = time.monotonic()
    with pytest.raises(RemoteError, match="authorized_keys"):
        connect(machine, generate_key_pair().private, timeout=30)
    assert time.monotonic() - begun < 15, "a refused key must not be retried"


def test_a_wait_for_a_missing_machine_ends_at_its_timeout(lab: Lab, machine: Machine) -> None:
    nowhere = replace(machine, address="127.0.0.1", port=9)
    begun = time.monotonic()
    with pytest.raises(RemoteError, match="waited 1 s for SSH"):
        connect(nowhere, lab.operator.private, timeout=1)
    assert time.monotonic() - begun < 5


@pytest.fixture
def _overloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take each machine for an overloaded one."""
    monkeypatch.setattr(deadline, "BUSY_LOAD", 0.0)


@pytest.mark.usefixtures("_overloaded")
def test_a_command_on_an_overloaded_machine_gets_more_time(lab: Lab, machine: Machine) -> None:
    """Its input, its output and its errors wait longer than the limit as well."""
    runner = lab.pool.runner(machine)
    megabytes = b"x" * (6 * 2**20)
    command = "sleep 3; echo begun >&2; sleep 2; cat; sleep 2; echo ended >&2"
    completed = runner.run(command, stdin=megabytes, timeout=1)
    assert len(completed.stdout) == len(megabytes)
    assert completed.stderr == "begun\nended\n"


@pytest.mark.usefixtures("_overloaded")
def test_many_commands_at_once_get_more_time(lab: Lab, machine: Machine) -> None:
    """Each of a connection's sessions is taken when the first limit is reached."""
    runner = lab.pool.runner(machine)
    with ThreadPoolExecutor(12) as threads:
        done = list(threads.map(lambda n: runner.run(f"sleep 3; echo {n}", timeout=1), range(12)))
    assert [each.stdout.strip() for each in done] == [str(n) for n in range(12)]


@pytest.mark.usefixtures("_overloaded")
def test_a_command_that_hangs_is_given_up_on_an_overloaded_machine_too(
    lab: Lab, machine: Machine
) -> None:
    with pytest.raises(RemoteError, match=r"within \d s, on a machine that is overloaded"):
        lab.run(machine, "sleep 60", timeout=0.5)


def test_a_command_that_does_not_end_is_given_up(lab: Lab, machine: Machine) -> None:
    with pytest.raises(RemoteError, match="did not end within 1 s"):
        lab.run(machine, "sleep 60", timeout=1)
    assert lab.run(machine, "echo the connection still works").startswith("the connection")


def test_more_commands_at_once_than_a_connection_has_sessions(lab: Lab, machine: Machine) -> None:
    runner = lab.pool.runner(machine)
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda i=i: answers.append(runner.run(f"echo {i}").stdout.strip()))
        for i in range(24)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answers, key=int) == [str(i) for i in range(24)]


def test_a_file_is_written_whole_with_its_mode(lab: Lab, machine: Machine) -> None:
    runner = lab.pool.runner(machine)
    runner.write_file("/opt/a folder/a file", b"\x00content\n", mode=0o640)
    assert lab.run(machine, "stat -c '%a %U %s' '/opt/a folder/a file'") == "640 root 9\n"
    assert lab.run(machine, "ls '/opt/a folder'") == "a file\n"
    lab.run(machine, "rm -r '/opt/a folder'")


def test_the_pool_reuses_a_connection_and_replaces_a_dead_one(lab: Lab, machine: Machine) -> None:
    first = lab.pool.runner(machine)
    assert lab.pool.runner(machine) is first
    first.close()
    second = lab.pool.runner(machine)
    assert second is not first
    assert second.run("echo alive").stdout == "alive\n"


def test_neither_environment_nor_arguments_of_the_container_have_a_key(lab: Lab) -> None:
    attrs = lab.container("worker-1").attrs
    assert "PRIVATE KEY" not in str(attrs)
    assert lab.operator.public.split()[1] not in str(attrs)
