#!/opt/airflow_env/bin/python -P
"""Airflow's own command, where SIGTERM ends it until Celery takes over: worker.py celery worker.

Airflow answers SIGTERM by raising SystemExit, wherever its code is at that moment. Python drops an
exception that is raised while it forks (``os.register_at_fork``), and a worker forks as it starts:
told to stop then, it would start all the same, take tasks, and be waited for until its grace period
is over. The system's own answer cannot be dropped, and there is nothing yet that it could cut off.
"""

from __future__ import annotations

import signal
import sys

from airflow.__main__ import main
from airflow.cli.commands import daemon_utils

daemon_utils.sigint_handler = signal.SIG_DFL  # type: ignore[assignment]

if __name__ == "__main__":
    sys.exit(main())
