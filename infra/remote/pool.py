"""Pool of SSH connections, one for each machine."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from infra.remote.rate_limit import CONNECTIONS_PER_SECOND, RateLimit
from infra.remote.ssh import DEFAULT_CONNECT_TIMEOUT_SECONDS, SshRunner, connect

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from infra.remote.login import Login
    from infra.remote.machine import Jump, Machine


class SshPool:
    """Connections by machine; threads may share it and connect to several machines in parallel."""

    def __init__(
        self,
        private_key: str,
        *,
        logins: Mapping[str, Login] | None = None,
        connect_timeout: float = DEFAULT_CONNECT_TIMEOUT_SECONDS,
        rate_limit: RateLimit | None = None,
    ) -> None:
        """``private_key`` is the operator's, in OpenSSH's PEM; ``connect_timeout`` in seconds.

        ``logins`` maps the names of machines to their login, if it is not ``private_key``. All
        connection attempts, to any machine, share the rate limit.
        """
        self._private_key = private_key
        self._logins = logins or {}
        self._connect_timeout = connect_timeout
        self._rate_limit = rate_limit or RateLimit(CONNECTIONS_PER_SECOND)
        self._lock = threading.Lock()
        self._slots: dict[tuple[str, str, int, str, str, Jump | None], _Slot] = {}

    def runner(self, machine: Machine, *, timeout: float | None = None) -> SshRunner:
        """Return a connected runner, reusing the existing connection while it is alive.

        Raises:
            RemoteError: see `infra.remote.ssh.connect`.

        """
        key = (
            machine.name,
            machine.address,
            machine.port,
            machine.user,
            machine.host_key,
            machine.jump,
        )
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
        with slot.lock:
            if slot.runner is None or not slot.runner.is_alive:
                if slot.runner is not None:
                    slot.runner.close()
                    slot.runner = None
                limit = self._connect_timeout if timeout is None else timeout
                slot.runner = connect(
                    machine,
                    self._logins.get(machine.name, self._private_key),
                    timeout=limit,
                    rate_limit=self._rate_limit,
                )
            return slot.runner

    def close(self) -> None:
        """End every connection; the pool can be used again."""
        with self._lock:
            slots, self._slots = self._slots, {}
        for slot in slots.values():
            with slot.lock:
                if slot.runner is not None:
                    slot.runner.close()

    def __enter__(self) -> Self:
        """Use the pool as a context manager that closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every connection."""
        self.close()


class _Slot:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.runner: SshRunner | None = None
