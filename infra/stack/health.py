"""Reads Airflow's own health, from the manager that publishes its web server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.remote.runner import Runner

PATH = "/api/v2/monitor/health"
COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
_ANSWER_TIMEOUT_SECONDS = 15


@dataclass(frozen=True, kw_only=True)
class Health:
    """Health of Airflow's components; ``problems`` is empty if all are healthy."""

    problems: tuple[str, ...]


def ask(runner: Runner, web_port: int) -> Health:
    """Read the health from the web server on the runner's machine; no answer is a problem too.

    The machine needs only Bash.
    """
    request = f"GET {PATH} HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n"
    script = f'exec 3<>"/dev/tcp/127.0.0.1/{web_port}" && printf "{request}" >&3 && cat <&3'
    answer = runner.run(
        f"timeout {_ANSWER_TIMEOUT_SECONDS} bash -c '{script}'",
        timeout=_ANSWER_TIMEOUT_SECONDS * 2,
        check=False,
    )
    if answer.exit_status != 0:
        return Health(problems=(f"web server: does not answer on port {web_port}",))
    return parse(answer.stdout)


def parse(response: str) -> Health:
    """Parse the HTTP response of ``/api/v2/monitor/health``."""
    head, _, body = response.replace("\r\n", "\n").partition("\n\n")
    status = head.split("\n", 1)[0]
    if " 200 " not in f"{status} ":
        return Health(problems=(f"web server: answered {status!r}",))
    try:
        components: Mapping[str, Any] = json.loads(body[body.index("{") : body.rindex("}") + 1])
    except ValueError:
        return Health(problems=(f"web server: {PATH} did not answer JSON",))
    return Health(
        problems=tuple(
            f"{name}: {components.get(name, {}).get('status') or 'unknown'}"
            for name in COMPONENTS
            if components.get(name, {}).get("status") != "healthy"
        )
    )
