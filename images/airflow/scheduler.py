#!/opt/airflow_env/bin/python -P
"""Airflow's own command, with a scheduler that loses no task: scheduler.py scheduler.

The changes are beside this file: `lost_messages`, `handover` and `wake`.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Last, so that no file here hides a module of that name.
sys.path.append(str(Path(__file__).parent))
import handover
import lost_messages
import part
import wake


def install() -> None:
    """Change Airflow's scheduler.

    Raises:
        AttributeError: if this Airflow lacks what is changed. Then the image's build fails.

    """
    handover.install()
    lost_messages.install()
    wake.install()


if __name__ == "__main__":
    install()
    part.run()
