"""One live connection a machine, kept for as long as the process needs it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from infra.remote.pace import CONNECTIONS_PER_SECOND, Pace
from infra.remote.ssh import DEFAULT_CONNECT_TIMEOUT_SECONDS, SshRunner, connect

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from infra.remote.login import Login
    from infra.remote.machine import Jump, Machine


class SshPool:
    """Connections by machine; threads may share it, and connect to several machines at once."""

    def __init__(
        self,
        private_key: str,
        *,
        logins: Mapping[str, Login] | None = None,
        connect_timeout: float = DEFAULT_CONNECT_TIMEOUT_SECONDS,
        pace: Pace | None = None,
    ) -> None:
        """``private_key`` is the operator's, in OpenSSH's PEM; ``connect_timeout`` in seconds.

        ``logins`` maps the names of machines that are signed in to in another way. Every attempt
        to connect, to whichever machine, waits its turn of ``pace``.
        """
        self._private_key = private_key
        self._logins = logins or {}
        self._connect_timeout = connect_timeout
        self._pace = pace or Pace(CONNECTIONS_PER_SECOND)
        self._lock = threading.Lock()
        self._places: dict[tuple[str, str, int, str, str, Jump | None], _Place] = {}

    def runner(self, machine: Machine, *, timeout: float | None = None) -> SshRunner:
        """Return a connected runner, the one of before while its connection stands.

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
            place = self._places.setdefault(key, _Place())
        with place.lock:
            if place.runner is None or not place.runner.is_alive:
                if place.runner is not None:
                    place.runner.close()
                    place.runner = None
                limit = self._connect_timeout if timeout is None else timeout
                place.runner = connect(
                    machine,
                    self._logins.get(machine.name, self._private_key),
                    timeout=limit,
                    pace=self._pace,
                )
            return place.runner

    def close(self) -> None:
        """End every connection; the pool can be used again."""
        with self._lock:
            places, self._places = self._places, {}
        for place in places.values():
            with place.lock:
                if place.runner is not None:
                    place.runner.close()

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


class _Place:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.runner: SshRunner | None = None
