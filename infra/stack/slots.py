"""How many tasks a Celery worker runs at the same time. Pure.

Airflow takes the number from the command's ``--concurrency``, or else from an option; with
``--autoscale`` it varies (Airflow's ``providers/celery/cli/celery_command.py``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from infra.stack.command_flags import CommandFlags, UnreadableCommandError
from infra.stack.problems import Problem
from infra.stack.services import environment_of, worker_arguments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

CONCURRENCY = "AIRFLOW__CELERY__WORKER_CONCURRENCY"
AUTOSCALE = "AIRFLOW__CELERY__WORKER_AUTOSCALE"
AIRFLOWS_DEFAULT = 16
"""The slots of a worker that has no number."""

_INSTEAD = (
    "write --concurrency with the largest number of tasks, or deploy.replicas for more workers"
)


def slots(service: Mapping[str, Any]) -> int:
    """Return the slots of each task of a worker service that has no problem."""
    flag = worker_flags(service).concurrency
    value = environment_of(service).get(CONCURRENCY) if flag is None else flag
    return AIRFLOWS_DEFAULT if value is None else int(value)


def slot_problems(path: str, service: Mapping[str, Any]) -> Iterator[Problem]:
    """Find what leaves the number of a worker's slots open; ``service`` is as it is rendered."""
    try:
        flags = worker_flags(service)
    except UnreadableCommandError as error:
        yield Problem(path=f"{path}.command", valid=f"Airflow's worker refuses it: {error}")
        return
    if flags.autoscale is not None:
        yield Problem(
            path=f"{path}.command",
            given=f"'--autoscale {flags.autoscale}'",
            valid="it cannot be used: Airflow's parallelism is the number of slots, which varies"
            " then",
            advice=_INSTEAD,
        )
    if flags.concurrency is not None and not _is_number(flags.concurrency):
        yield Problem(
            path=f"{path}.command",
            given=f"'--concurrency {flags.concurrency}'",
            valid="valid: a whole number from 1 on",
        )
    environment = environment_of(service)
    if environment.get(AUTOSCALE):
        yield Problem(
            path=f"{path}.environment.{AUTOSCALE}",
            valid="it cannot be used: Airflow's parallelism is the number of slots, which varies"
            " then",
            advice=f"set {CONCURRENCY} to the largest number of tasks",
        )
    if not _is_number(environment.get(CONCURRENCY, "1")):
        yield Problem(
            path=f"{path}.environment.{CONCURRENCY}",
            given=repr(environment[CONCURRENCY]),
            valid="valid: a whole number from 1 on",
        )


def worker_flags(service: Mapping[str, Any]) -> argparse.Namespace:
    """Read a worker's command as Airflow does, abbreviations included.

    Raises:
        UnreadableCommandError: for a command that Airflow refuses.

    """
    parser = CommandFlags(add_help=False)
    for names in (
        ("-a", "--autoscale"),
        ("-c", "--concurrency"),
        ("-H", "--celery-hostname"),
        ("-l", "--log-file"),
        ("-q", "--queues"),
        ("-t", "--team"),
        ("-u", "--umask"),
        ("--pid",),
        ("--stderr",),
        ("--stdout",),
    ):
        parser.add_argument(*names)
    for names in (
        ("-D", "--daemon"),
        ("-s", "--skip-serve-logs"),
        ("-v", "--verbose"),
        ("--without-gossip",),
        ("--without-mingle",),
    ):
        parser.add_argument(*names, action="store_true")
    return parser.parse_known_args(worker_arguments(service))[0]


def _is_number(value: str) -> bool:
    return re.fullmatch(r"0*[1-9][0-9]{0,6}", value) is not None
