"""The operator's SSH key is rotated on real machines; an interruption locks nobody out."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra.remote.key_rotation import KeyRotation
from infra.remote.keys import KeyPair, generate_key_pair
from infra.remote.rate_limit import RateLimit
from infra.remote.runner import LoginRefusedError, RemoteError
from infra.remote.script import script
from infra.remote.ssh import SshRunner, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Lab

    from infra.remote.machine import Machine

pytestmark = pytest.mark.integration

OWN_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA3CL5OPqBDSOhdoiRE3V413DE+Me1p/0n/2ovi2QCsv me"
FILE = "/root/.ssh/authorized_keys"
USER = "keeper"


def rotation(new: KeyPair, *former: KeyPair) -> KeyRotation:
    keys = [pair.private for pair in former]
    return KeyRotation(
        private_key=new.private, former=keys, rate_limit=RateLimit(50), report=lambda _: None
    )


def keys_on(machine: Machine, key: KeyPair) -> list[str]:
    """Sign in with a key, and return the authorized keys."""
    with connect(machine, key.private, timeout=30) as runner:
        return runner.run(f"cat ~{machine.user}/.ssh/authorized_keys").stdout.splitlines()


def is_refused(machine: Machine, key: KeyPair) -> bool:
    try:
        connect(machine, key.private, timeout=30).close()
    except LoginRefusedError:
        return True
    return False


@contextmanager
def failing(when: Callable[[SshRunner, str], bool]) -> Iterator[None]:
    """Break off at the first command that fits, as if the program was killed before it."""
    real = SshRunner.run

    def run(self: SshRunner, command: str, **options: object) -> object:
        if when(self, command):
            raise KeyboardInterrupt
        return real(self, command, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SshRunner, "run", run)
        with pytest.raises(KeyboardInterrupt):
            yield


def test_only_the_new_key_is_accepted_and_a_users_own_stays(own_lab: Lab) -> None:
    machines = own_lab.machines("manager-1", "worker-1")
    new = generate_key_pair()
    own_lab.run(machines[0], f"echo '{OWN_KEY}' >> {FILE}")
    rotation(new, own_lab.operator).run(machines)
    assert all(is_refused(machine, own_lab.operator) for machine in machines)
    assert keys_on(machines[0], new) == [OWN_KEY, new.public]
    assert keys_on(machines[1], new) == [new.public]
    mode = "stat -c '%a %U' /root/.ssh /root/.ssh/authorized_keys"
    with connect(machines[1], new.private) as runner:
        assert runner.run(mode).stdout.split()[2:] == ["600", "root"]
    rotation(new, own_lab.operator).run(machines)
    assert keys_on(machines[0], new) == [OWN_KEY, new.public]


def test_after_every_interruption_the_next_rotation_goes_on(own_lab: Lab) -> None:
    machines = own_lab.machines("manager-1", "worker-1")
    first, second, third = own_lab.operator, generate_key_pair(), generate_key_pair()

    def is_second_machine(runner: SshRunner, command: str, what: str) -> bool:
        return runner.machine == machines[1] and what in command

    with failing(lambda r, c: is_second_machine(r, c, "add the operator's new key")):
        rotation(second, first).run(machines)
    assert keys_on(machines[0], first) == [first.public, second.public]
    assert keys_on(machines[1], first) == [first.public]

    with failing(lambda r, c: is_second_machine(r, c, "remove the operator's former keys")):
        rotation(second, first).run(machines)
    assert keys_on(machines[0], second) == [second.public]
    assert keys_on(machines[1], second) == [first.public, second.public]

    rotation(third, second, first).run(machines)
    for machine in machines:
        assert keys_on(machine, third) == [third.public]
        assert is_refused(machine, second)


def test_a_machine_that_does_not_answer_keeps_the_former_key_on_all(own_lab: Lab) -> None:
    machines = own_lab.machines("manager-1", "worker-1")
    new = generate_key_pair()
    for machine in machines:
        own_lab.run(machine, "true")  # until it has booted
    own_lab.container("worker-1").stop()
    impatient = replace(rotation(new, own_lab.operator), connect_timeout=3)
    with pytest.raises(RemoteError, match="worker-1"):
        impatient.run(machines)
    assert own_lab.operator.public in keys_on(machines[0], own_lab.operator)
    rotation(new, own_lab.operator).run(machines[:1], leaving=machines[1:])
    assert keys_on(machines[0], new) == [new.public]


def test_the_key_of_another_user_is_rotated_in_root_s_file_too(own_lab: Lab) -> None:
    """cloud-init adds the user's key to root's file, with a command that only prints a line."""
    machine = own_lab.machine("manager-1")
    former, new = own_lab.operator, generate_key_pair()
    own_lab.run(
        machine,
        f"useradd -m -s /bin/sh -p '*' {USER} && cp -r /root/.ssh /home/{USER}/"
        f" && chown -R {USER}: /home/{USER}/.ssh && chmod 700 /home/{USER}/.ssh",
    )
    by_user = replace(machine, user=USER)
    admit = script("remote/scripts/admit_key.sh", LOGIN_USER=USER)
    own_lab.run(machine, admit, stdin=f"{new.public}\n".encode())
    assert not is_refused(by_user, new)
    assert not is_refused(by_user, former)
    dismiss = script("remote/scripts/dismiss_keys.sh", LOGIN_USER=USER)
    own_lab.run(machine, dismiss, stdin=former.public.split()[1].encode())
    assert not is_refused(by_user, new)
    assert is_refused(by_user, former)
    assert is_refused(machine, former)


def test_a_machine_that_accepts_none_of_the_keys_is_reported(own_lab: Lab) -> None:
    machine = own_lab.machine("manager-1")
    with pytest.raises(LoginRefusedError, match="manager-1"):
        rotation(generate_key_pair(), generate_key_pair(), generate_key_pair()).run([machine])
    assert keys_on(machine, own_lab.operator) == [own_lab.operator.public]
