"""Ask machines for their facts, side by side, in one round trip each."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from infra.remote.runner import RemoteError
from infra.swarm.execute import side_by_side
from infra.swarm.facts import SCRIPT, MachineFacts, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from infra.remote.machine import Machine
    from infra.remote.runner import RunnerPool


def gather(
    machines: Iterable[Machine],
    pool: RunnerPool,
    *,
    timeout: float | None = None,
    silent: Callable[[RemoteError], None] | None = None,
) -> dict[str, MachineFacts]:
    """Return the facts by machine's name.

    A machine that does not answer within ``timeout`` seconds is left out, and ``silent`` is given
    its error; without ``silent`` that is raised.

    Raises:
        RemoteError: a machine does not answer.
        SwarmError: several do not, or an answer cannot be read.

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
            if silent is None:
                raise
            silent(error)
            return
        told = parse(machine, answer, window=window)
        with lock:
            facts[machine.name] = told

    side_by_side([lambda machine=machine: ask(machine) for machine in machines])
    return facts
