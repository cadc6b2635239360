"""How many connections Airflow's services hold to its database at most. Pure.

SQLAlchemy's pools bound them: ``pool_size`` connections stay open, and ``max_overflow`` more are
opened if all are in use. A web server has a second pool, for its asynchronous requests
(``airflow/settings.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.stack.command_flags import CommandFlags, UnreadableCommandError
from infra.stack.problems import Problem
from infra.stack.services import environment_of, file_sources, words_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from infra.stack.loads import Load

AIRFLOW_CONNECTIONS = 500
"""What the role ``airflow`` may hold, by ``images/postgres/connections.sh``."""

POOL_SIZE = "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE"
MAX_OVERFLOW = "AIRFLOW__DATABASE__SQL_ALCHEMY_MAX_OVERFLOW"
POOL_ENABLED = "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_ENABLED"
WEB_WORKERS = "AIRFLOW__API__WORKERS"
_DEFAULTS = {POOL_SIZE: "5", MAX_OVERFLOW: "10", WEB_WORKERS: "1"}
"""Airflow's own defaults."""
_LEAST = {POOL_SIZE: 1, MAX_OVERFLOW: 0, WEB_WORKERS: 1}

_DATABASE_SECRET = "postgres_password"  # noqa: S105 - its name
_WEB_SERVER = "api-server"


@dataclass(frozen=True, kw_only=True)
class Connections:
    """What one service's tasks hold at most, each of ``processes`` with ``pools``."""

    service: str
    tasks: int
    processes: int
    pools: int
    size: int

    @property
    def total(self) -> int:
        """The connections of all tasks."""
        return self.tasks * self.processes * self.pools * self.size

    def __str__(self) -> str:
        """Show how `total` is made up."""
        factors = [f"{self.tasks} x" if self.tasks > 1 else ""]
        if self.processes * self.pools > 1:
            factors.append(f"{self.processes} processes x {self.pools} pools x")
        return " ".join([f"{self.service}:", *filter(None, factors), f"{self.size:,}"])


def connection_problems(
    services: Mapping[str, Mapping[str, Any]],
    loads: Sequence[Load],
    by_setting: Collection[str],
) -> Iterator[Problem]:
    """Find pools that have no bound, and pools that exceed together what the database has.

    ``by_setting`` are the variables that the setting ``airflowConfig`` has set.
    """
    users = {name: service for name, service in services.items() if _uses_database(service)}
    problems = [
        problem
        for name, service in users.items()
        for problem in _unbounded(f"services.{name}", service, by_setting)
    ]
    yield from problems
    if problems:
        return
    found = [_of(users[load.service], load) for load in loads if load.service in users]
    needed = sum(one.total for one in found)
    if needed > AIRFLOW_CONNECTIONS:
        yield Problem(
            path=f"services.{max(found, key=lambda one: one.total).service}",
            valid=f"Airflow's services would hold {needed:,} connections to the database"
            f" ({', '.join(map(str, found))}), and it has {AIRFLOW_CONNECTIONS} for them. A web"
            " server and its successor run side by side during an update",
            advice="set a smaller airflowConfig.database.sql_alchemy_pool_size,"
            " airflowConfig.database.sql_alchemy_max_overflow or airflowConfig.api.workers, or"
            " fewer managers or replicas",
        )


def _uses_database(service: Mapping[str, Any]) -> bool:
    return _DATABASE_SECRET in file_sources(service, "secrets") and any(
        name.startswith("AIRFLOW__") for name in environment_of(service)
    )


def _unbounded(
    path: str, service: Mapping[str, Any], by_setting: Collection[str]
) -> Iterator[Problem]:
    environment = environment_of(service)
    for name, least in _LEAST.items():
        given = environment.get(name, _DEFAULTS[name])
        if not re.fullmatch(r"[0-9]{1,7}", given) or int(given) < least:
            why = "" if name == WEB_WORKERS else ": a pool without a bound can take all connections"
            yield Problem(
                path=_place(path, name, by_setting),
                given=repr(given),
                valid=f"valid: a whole number from {least} on{why}",
            )
    if environment.get(POOL_ENABLED, "true").lower() not in ("true", "t", "1"):
        yield Problem(
            path=_place(path, POOL_ENABLED, by_setting),
            given=repr(environment[POOL_ENABLED]),
            valid="valid: True, because the pools bound the number of connections to the database",
        )
    try:
        _flags(service)
    except UnreadableCommandError as error:
        yield Problem(path=f"{path}.command", valid=f"Airflow's web server refuses it: {error}")


def _place(path: str, variable: str, by_setting: Collection[str]) -> str:
    if variable not in by_setting:
        return f"{path}.environment.{variable}"
    _, section, option = variable.lower().split("__")
    return f"airflowConfig.{section}.{option}"


def _of(service: Mapping[str, Any], load: Load) -> Connections:
    environment = {**_DEFAULTS, **environment_of(service)}
    is_web_server = _is_web_server(service)
    # With start-first, predecessors that still end hold their connections too.
    tasks = load.tasks * 2 if load.beside else load.tasks
    processes = (_flags(service).workers or int(environment[WEB_WORKERS])) if is_web_server else 1
    return Connections(
        service=load.service,
        tasks=tasks,
        processes=processes,
        pools=2 if is_web_server else 1,
        size=int(environment[POOL_SIZE]) + int(environment[MAX_OVERFLOW]),
    )


def _is_web_server(service: Mapping[str, Any]) -> bool:
    return _WEB_SERVER in words_of(service)


def _flags(service: Mapping[str, Any]) -> argparse.Namespace:
    parser = CommandFlags(add_help=False, allow_abbrev=False)
    parser.add_argument("-w", "--workers", type=int)
    words = words_of(service) if _is_web_server(service) else []
    return parser.parse_known_args(words)[0]
