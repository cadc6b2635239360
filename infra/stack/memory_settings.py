"""Services of the project whose memory limit is a setting, and the command that sets it."""

from __future__ import annotations

from infra.stack.services import WORKER

MIB = 1_024 * 1_024
SERVICES = (
    "api-server",
    "backup",
    "dag-processor",
    "flower",
    "log-store",
    "migrate",
    "pgbouncer",
    "postgres",
    "redis",
    "scheduler",
    "triggerer",
    "web",
)
"""Services allowed in ``memoryLimits``: those whose limit does not depend on the tasks."""

IDLE_MIB = {"api-server": 512, "dag-processor": 384, "migrate": 384, "triggerer": 384}
"""What is used when idle, of services that import Airflow; others need twice what they reserve."""


def command(service: str) -> str:
    """Return the command that sets the limit of a service of the project; empty for another."""
    if service == WORKER:
        return "`pulumi config set taskMemory SIZE`"
    if service in SERVICES:
        return f"`pulumi config set --path memoryLimits.{service} SIZE`"
    return ""
