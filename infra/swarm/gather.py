"""Reads the facts of machines in parallel, in one round trip each."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from infra.remote.runner import RemoteError
from infra.swarm.facts import SCRIPT, MachineFacts, parse
from infra.swarm.side_by_side import side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from infra.remote.machine import Machine
    from infra.remote.runner import RunnerPool


def gather(
    machines: Iterable[Machine],
    pool: RunnerPool,
    *,
    timeout: float | None = None,
    on_unreachable: Callable[[RemoteError], None] | None = None,
) -> dict[str, MachineFacts]:
    """Return the facts by machine's name.

    A machine that does not answer within ``timeout`` seconds is left out, and ``on_unreachable`` is
    called with its error; without ``on_unreachable`` the error is raised.

    Raises:
        RemoteError: if a machine does not answer.
        SwarmError: if several do not, or an answer cannot be parsed.

    """
    facts: dict[str, MachineFacts] = {}
    lock = threading.Lock()

    def ask(machine: Machine) -> None:
        try:
            runner = pool.runner(machine, timeout=timeout)
            asked = time.time()
            answer = runner.run(SCRIPT).stdout
            window = (asked, time.time())
        except RemoteError as error:
            if on_unreachable is None:
                raise
            on_unreachable(error)
            return
        parsed = parse(machine, answer, window=window)
        with lock:
            facts[machine.name] = parsed

    side_by_side([lambda machine=machine: ask(machine) for machine in machines])
    return facts
