#!/opt/airflow_env/bin/python -P
"""Airflow's own command, which ends as soon as it has served: api_server.py api-server.

At its end Python collects garbage once more. After Airflow's API server that takes more than 30 s
of computing (seen with Python 3.13.5): a deployment waits for it, and then the process is killed.
"""

from __future__ import annotations

import atexit
import os
import sys
import traceback

from airflow.__main__ import main


def run() -> int:
    """Run Airflow's command; return the exit status."""
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - what Python itself does with it
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    status = run()
    atexit._run_exitfuncs()  # noqa: SLF001 - they are what the rest of the end is for
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
