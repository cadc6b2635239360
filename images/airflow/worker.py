#!/opt/airflow_env/bin/python -P
"""Airflow's own command, with a worker that starts, stops and frees its slots in time.

    worker.py celery worker

- Until Celery takes over, SIGTERM ends it. Airflow answers SIGTERM by raising SystemExit, wherever
  its code is at that moment. Python drops an exception that is raised while it forks
  (``os.register_at_fork``), and a worker forks as it starts: a worker stopped then would start all
  the same, take tasks, and be waited for until its grace period is over. The system's own answer
  cannot be dropped, and there is nothing yet that it could cut off.
- A task's slot is free as soon as its process has ended (``wake_at_exit``).
- What every task imports is imported once, before Celery forks the slots' processes.
- Before it ends, the managers have a copy of every log (``task_logs.sh``).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING

from airflow.__main__ import main
from airflow.cli.commands import daemon_utils
from airflow.sdk.execution_time.supervisor import ActivitySubprocess

if TYPE_CHECKING:
    from collections.abc import Generator

TASK_LOGS = Path(__file__).with_name("task_logs.sh")

EVERY_TASK_IMPORTS = (
    "airflow.dag_processing.dagbag",
    "airflow.providers.standard.operators.bash",
    "airflow.providers.standard.operators.empty",
    "airflow.providers.standard.operators.python",
    "airflow.sdk.execution_time.task_runner",
)


@contextlib.contextmanager
def wake_at_exit(supervisor: ActivitySubprocess) -> Generator[None]:
    """Let the end of the task's process wake its supervisor's ``select``.

    The supervisor waits for the process's sockets to close, then asks once whether the process has
    ended. If it has not quite, the supervisor sleeps until the next heartbeat, 5 s later, and the
    slot stays taken. Without process descriptors (Linux before 5.3, or a strict seccomp profile),
    the supervisor works as before.
    """
    with contextlib.ExitStack() as undo:
        with contextlib.suppress(OSError, AttributeError):
            process = open(os.pidfd_open(supervisor.pid), "rb", buffering=0)  # noqa: PTH123, SIM115
            undo.callback(process.close)

            def forget(ended: IO[bytes]) -> None:
                with contextlib.suppress(KeyError, ValueError, RuntimeError):
                    supervisor.selector.unregister(ended)

            # What the supervisor does with each of its sockets: read, and forget it at its end.
            supervisor.selector.register(process, selectors.EVENT_READ, (lambda _: False, forget))
            undo.callback(forget, process)
        yield


def free_slots_in_time() -> None:
    """Make each task's supervisor notice at once that the task's process has ended.

    Raises:
        AttributeError: if this Airflow has no such supervisor. Then the image's build fails.

    """
    monitor = ActivitySubprocess._monitor_subprocess  # noqa: SLF001

    def monitor_until_exit(self: ActivitySubprocess) -> None:
        with wake_at_exit(self):
            monitor(self)

    ActivitySubprocess._monitor_subprocess = monitor_until_exit  # noqa: SLF001


def import_early() -> None:
    """Import what every task needs, which the slots' processes then share."""
    for module in EVERY_TASK_IMPORTS:
        import_module(module)


def finish_logs() -> None:
    """Wait until the managers have a copy of every log of this worker, for a minute at most."""
    if os.environ.get("LOG_STORE"):
        subprocess.run([TASK_LOGS, "finish"], check=False)


if __name__ == "__main__":
    daemon_utils.sigint_handler = signal.SIG_DFL  # type: ignore[assignment]
    free_slots_in_time()
    import_early()
    try:
        sys.exit(main())
    finally:
        finish_logs()
