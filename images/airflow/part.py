#!/opt/airflow_env/bin/python -P
"""Airflow's own command, which ends as soon as its work has: part.py PART.

At its end Python collects garbage once more. For the API server and the scheduler that takes more
than 30 s of computing (seen with Python 3.13.5), in which a deployment waits for them.
"""

from __future__ import annotations

import atexit
import os
import sys
import traceback
from typing import NoReturn

from airflow.__main__ import main


def run() -> NoReturn:
    """Run Airflow's command and end the process with its status."""
    status = _status_of_command()
    atexit._run_exitfuncs()  # noqa: SLF001 - all that is wanted of the usual end
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _status_of_command() -> int:
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - Python's own answer to it
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    run()
