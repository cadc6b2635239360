#!/opt/airflow_env/bin/python -P
"""Airflow's own command, which ends as soon as its work has: part.py PART.

At its end Python collects garbage once more. For the API server and the scheduler that takes more
than 30 s of computing (seen with Python 3.13.5), in which a deployment waits for them.

The API server reads task logs from their copies (`log_copies`) if there is a place for them, and
accepts the tokens of a rotation's other keys (`jwt_keys`). The triggerer sends mail by STARTTLS
(`dairflow.mail`).

A part that fails because the database is away waits for it and starts again, in the same process:
a deployment may replace the database in the seconds in which the part starts, and the swarm stops
the update of a service whose new task ends with an error.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
import traceback
from pathlib import Path
from typing import NoReturn

import psutil
from airflow.__main__ import main

ENTRYPOINT = Path(__file__).with_name("entrypoint.sh")
LOST_DATABASE = "OperationalError"
"""The name that psycopg2, asyncpg's wrapper and SQLAlchemy give the error (PEP 249)."""
STARTS = "DAIRFLOW_STARTS"
MAX_STARTS = 5
"""What fails more often in a row is the database's answer, not its absence: the container ends."""
SERVED_SECONDS = float(os.environ.get("DAIRFLOW_SERVED_SECONDS", "300"))
"""A part that has run for so long had started: the next start counts as the first."""


def run() -> NoReturn:
    """Run Airflow's command and end the process with its status."""
    starts = int(os.environ.get(STARTS, "1"))
    began = time.monotonic()
    status = _status_of_command()
    if time.monotonic() - began >= SERVED_SECONDS:
        starts = 0
    atexit._run_exitfuncs()  # noqa: SLF001 - all that is wanted of the usual end
    sys.stdout.flush()
    sys.stderr.flush()
    if status is not None:
        os._exit(status)
    for child in psutil.Process().children(recursive=True):
        child.kill()
    if starts < MAX_STARTS:
        _start_again(starts + 1)
    os._exit(1)


def _start_again(number: int) -> NoReturn:
    """Replace this process with the part's start, which waits for the database."""
    print("the database is away: waits for it, and starts again", file=sys.stderr, flush=True)
    os.environ[STARTS] = str(number)
    os.execv(ENTRYPOINT, [str(ENTRYPOINT), *sys.argv[1:]])  # noqa: S606 - the image's own


def _status_of_command() -> int | None:
    """Run the command; return its status, or None if the database was away."""
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:  # noqa: BLE001 - Python's own answer to it
        traceback.print_exc()
        return None if _is_lost_database(error) else 1
    return 0


def _is_lost_database(error: BaseException | None) -> bool:
    while error is not None:
        if type(error).__name__ == LOST_DATABASE:
            return True
        error = error.__cause__ or error.__context__
    return False


def _change_api_server() -> None:
    # Last, so that no file here hides a module of that name.
    sys.path.append(str(Path(__file__).parent))
    import jwt_keys
    import log_copies

    jwt_keys.install()
    if os.environ.get("LOG_STORE"):
        log_copies.install()


# With several `[api] workers` each is a new Python, which knows this file as `__mp_main__`.
if __name__ in {"__main__", "__mp_main__"} and sys.argv[1:2] == ["api-server"]:
    _change_api_server()

if __name__ == "__main__":
    if sys.argv[1:2] == ["triggerer"]:
        from dairflow import mail

        mail.install()
    run()
