"""Delete a worker's old task logs, at a quiet moment, and only if there are any.

What it teaches: a sensor and a branch. ``quiet`` is looked at again and again until it returns true
(``mode: reschedule`` leaves the worker's slot free in between; after ``timeout`` it gives up).
``choose`` returns the name of the task to go on with; the other one is skipped. ``done`` follows
whichever ran, by its trigger rule. Start it with ``dry_run`` off to really delete.
"""

import os
import time
from pathlib import Path
from typing import Any

from dag_builder import build_dag

SECONDS_A_DAY = 86400


def quiet(params: dict[str, Any]) -> bool:
    """Say whether the machine has less to do than it has processors."""
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    print(f"load for each processor: {load:.2f}")
    return load < params["load"]


def find(params: dict[str, Any]) -> list[str]:
    """List the log files that are older than the days to keep."""
    from airflow.sdk import conf  # noqa: PLC0415 - a DAG file imports little when it is parsed

    folder = Path(conf.get("logging", "base_log_folder"))
    before = time.time() - params["keep_days"] * SECONDS_A_DAY
    return [str(file) for file in folder.rglob("*.log") if file.stat().st_mtime < before]


def choose(find: list[str]) -> str:
    """Choose ``delete`` if there is something to delete."""
    return "delete" if find else "nothing_to_do"


def delete(find: list[str], params: dict[str, Any]) -> int:
    """Delete the files, or only say so."""
    freed = 0
    for name in find:
        file = Path(name)
        if not file.exists():  # each worker keeps the logs of the tasks that it ran
            print(f"not on this worker: {file}")
            continue
        freed += file.stat().st_size
        print(f"{'would delete' if params['dry_run'] else 'delete'} {file}")
        if not params["dry_run"]:
            file.unlink()
    print(f"{len(find)} files, {freed} bytes")
    return freed


build_dag(
    "tidy_logs",
    {
        "doc_md": __doc__,
        "schedule": "30 3 * * *",
        "start_date": "2026-01-01",
        "tags": ["example"],
        "params": {
            "keep_days": {"default": 30, "type": "integer", "minimum": 1},
            "load": {"default": 2.0, "type": "number", "description": "for each processor"},
            "dry_run": {"default": True, "type": "boolean"},
        },
        "tasks": {
            "quiet": {
                "callable": quiet,
                "decorator": "sensor",
                "mode": "reschedule",
                "poke_interval": "1m",
                "timeout": "2h",
            },
            "find": ["quiet"],
            "choose": {"callable": choose, "decorator": "branch", "upstream": ["find"]},
            "delete": ["find", "choose"],
            "nothing_to_do": {"operator": "empty", "upstream": ["choose"]},
            "done": {
                "operator": "empty",
                "upstream": ["delete", "nothing_to_do"],
                "trigger_rule": "none_failed_min_one_success",
            },
        },
    },
)
