"""Rotates the operator's SSH key on machines. An interruption never locks the operator out.

Every machine gets the new key over a connection with a former one, and is then signed in to with
the new key. Only after that works on all of them, the former keys are removed, over the connections
with the new key. A repeated run continues: each machine accepts the new key or a former one.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.remote.keys import public_key
from infra.remote.pool import SshPool
from infra.remote.runner import UNREACHABLE_SECONDS, LoginRefusedError, RemoteError
from infra.remote.script import script
from infra.remote.ssh import DEFAULT_CONNECT_TIMEOUT_SECONDS, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infra.remote.machine import Machine
    from infra.remote.rate_limit import RateLimit
    from infra.remote.ssh import SshRunner

_MACHINES_AT_A_TIME = 16


@dataclass(frozen=True, kw_only=True)
class KeyRotation:
    """The operator's private keys, in OpenSSH's PEM: the new one, and the former ones.

    ``former`` begins with the newest.
    """

    private_key: str = field(repr=False)
    former: Sequence[str] = field(repr=False)
    rate_limit: RateLimit
    report: Callable[[str], None] = field(repr=False)
    connect_timeout: float = DEFAULT_CONNECT_TIMEOUT_SECONDS

    def run(self, machines: Sequence[Machine], leaving: Sequence[Machine] = ()) -> None:
        """Make the new key the only one of the operator's that the machines accept.

        ``leaving`` are machines that are about to be removed; one that does not answer is left out.

        Raises:
            RemoteError: if a machine does not answer, accepts none of the keys, or a command on it
                fails. Until all machines accept the new key, none of them loses a former one.

        """
        with SshPool(
            self.private_key, connect_timeout=self.connect_timeout, rate_limit=self.rate_limit
        ) as pool:
            _on_each(lambda machine: self._admit_leaving(pool, machine), leaving)
            _on_each(lambda machine: self._admit(pool, machine), machines)
            _on_each(lambda machine: self._dismiss(pool, machine), machines)

    def _admit_leaving(self, pool: SshPool, machine: Machine) -> None:
        try:
            self._admit(pool, machine, timeout=UNREACHABLE_SECONDS)
        except RemoteError as error:
            self.report(f"{machine.name}: keeps the former key until it is removed: {error.answer}")

    def _admit(self, pool: SshPool, machine: Machine, *, timeout: float | None = None) -> None:
        """Sign in with the new key, after it is added if the machine refuses it."""
        try:
            pool.runner(machine, timeout=timeout)
        except LoginRefusedError:
            with self._as_before(machine) as runner:
                command = script("remote/scripts/admit_key.sh", LOGIN_USER=machine.user)
                runner.run(command, stdin=f"{public_key(self.private_key)}\n".encode())
            pool.runner(machine, timeout=timeout)
            self.report(f"{machine.name}: accepts the operator's new key")

    def _as_before(self, machine: Machine) -> SshRunner:
        """Connect with the newest former key that the machine accepts."""
        *others, last = self.former
        for key in others:
            try:
                return connect(machine, key, rate_limit=self.rate_limit)
            except LoginRefusedError:
                continue
        return connect(machine, last, rate_limit=self.rate_limit)

    def _dismiss(self, pool: SshPool, machine: Machine) -> None:
        keys = [public_key(key).split()[1] for key in self.former]
        command = script("remote/scripts/dismiss_keys.sh", LOGIN_USER=machine.user)
        pool.runner(machine).run(command, stdin="\n".join(keys).encode())


def _on_each(act: Callable[[Machine], None], machines: Sequence[Machine]) -> None:
    """Act on machines in parallel; the first error is raised after all have ended."""
    with ThreadPoolExecutor(_MACHINES_AT_A_TIME) as threads:
        begun = [threads.submit(act, machine) for machine in machines]
    for one in begun:
        one.result()
