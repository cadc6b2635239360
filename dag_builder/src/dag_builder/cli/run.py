"""``dag-builder run``: one DAG, here, now."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dag_builder.testing.run import RunError, RunOptions, RunResult, read_conf, run_file

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Run the DAG and print how its tasks ended. Returns 1 if the run failed."""
    try:
        result = run_file(
            options.path,
            RunOptions(
                dag_id=options.dag,
                tasks=options.tasks,
                conf=read_conf(options.conf),
                logical_date=options.date,
                skip=options.skip,
                quiet=options.quiet,
                connections=options.connections,
                variables=options.variables,
            ),
        )
    except RunError as error:
        print(error, file=sys.stderr)
        return 1
    _print(result)
    return 0 if result.state == "success" else 1


def _print(result: RunResult) -> None:
    width = max((len(task.task_id) for task in result.tasks), default=0) + 6
    for task in result.tasks:
        name = task.task_id if task.map_index < 0 else f"{task.task_id}[{task.map_index}]"
        print(f"{name:{width}} {task.state:16} {task.seconds:7.2f} s")
    print(f"{result.dag_id}: {result.state}")
