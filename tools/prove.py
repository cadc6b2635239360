"""The last step of ``make up``: run the example DAG and tell the user where everything is."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from typing import Any

from tools.airflow_api import Airflow, AirflowApiError, PasswordRefusedError
from tools.process import INTERRUPTED, probe

DAG_ID = "cluster_check"
DAG_TIMEOUT_SECONDS = 300.0
"""Without a change, as the next one: a slow machine is waited for."""
RUN_TIMEOUT_SECONDS = 300.0
SSH_TIMEOUT_SECONDS = 30.0
WORKER = "worker"


def main() -> int:
    """Prove that the selected stack works, in words that a user can act on; return the status."""
    try:
        return _main()
    except KeyboardInterrupt:
        print("\nInterrupted; the cluster is up. `make up` proves it again.", file=sys.stderr)
        return INTERRUPTED


def _main() -> int:
    try:
        outputs = stack_outputs()
    except subprocess.CalledProcessError as error:
        print(f"\nThe stack's outputs cannot be read: {error.stderr.strip()}", file=sys.stderr)
        return 1
    airflow = Airflow.of_stack(outputs)
    try:
        seconds, hosts = prove(airflow)
    except PasswordRefusedError as error:
        print(f"\nThe cluster is up. Its example DAG was not run: {error}")
        print(_summary(outputs))
        return 0
    except AirflowApiError as error:
        print(f"\nThe cluster is up, but its example DAG did not succeed: {error}", file=sys.stderr)
        print(
            f"Look at the run in the web server, {airflow.url}, or at the services:\n"
            f"  {outputs['managerSsh']} docker service ls",
            file=sys.stderr,
        )
        return 1
    if strangers := not_on_worker_nodes(hosts, outputs):
        print(
            f"\nThe cluster is up, but tasks ran on {', '.join(strangers)}, which are not worker "
            f"nodes of it. Look at the services:\n  {outputs['managerSsh']} docker service ls",
            file=sys.stderr,
        )
        return 1
    ran = ", ".join(f"{count} tasks on {host}" for host, count in sorted(hosts.items()))
    print(f"\n{DAG_ID}: success in {seconds:.0f} s: {ran}")
    print(_summary(outputs))
    return 0


def stack_outputs() -> dict[str, Any]:
    """Return the selected stack's outputs, secrets in plain text."""
    command = ["pulumi", "stack", "output", "--json", "--show-secrets"]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    outputs: dict[str, Any] = json.loads(found.stdout)
    return outputs


def prove(airflow: Airflow) -> tuple[float, dict[str, int]]:
    """Run the example DAG to its end; return its seconds and the number of tasks by host name.

    Raises:
        AirflowApiError: when it does not succeed.

    """
    airflow.login()
    airflow.wait_for_dag(DAG_ID, DAG_TIMEOUT_SECONDS)
    started = time.monotonic()
    run_id = airflow.trigger(DAG_ID)
    print(f"{DAG_ID}: started as {run_id}", flush=True)
    state = airflow.wait_for_run(DAG_ID, run_id, RUN_TIMEOUT_SECONDS)
    tasks = airflow.tasks(DAG_ID, run_id)
    if state != "success":
        failed = ", ".join(f"{t.task_id} on {t.hostname}" for t in tasks if t.state == "failed")
        msg = f"{run_id} ended as {state}: {failed}"
        raise AirflowApiError(msg)
    hosts: dict[str, int] = {}
    for task in tasks:
        hosts[task.hostname] = hosts.get(task.hostname, 0) + 1
    return time.monotonic() - started, hosts


def not_on_worker_nodes(hosts: dict[str, int], outputs: dict[str, Any]) -> list[str]:
    """Return the hosts of tasks that are not worker nodes, in order.

    A worker's host name is its node's; a second worker service adds its own name, and several
    workers on a node add a number. A host that
    existed before the cluster may have another name than in the settings, so that the swarm is
    asked about a name that these do not know.
    """
    roles = {node["name"]: node["role"] for node in outputs["nodes"]}
    strangers = [host for host in sorted(hosts) if _role(host, roles) != WORKER]
    if strangers:
        listed = probe(
            [
                *shlex.split(outputs["managerSsh"]),
                *("docker", "node", "ls", "--filter", f"role={WORKER}"),
                *("--format", "{{.Hostname}}"),
            ],
            timeout=SSH_TIMEOUT_SECONDS,
        )
        roles |= dict.fromkeys(listed.stdout.split(), WORKER)
    return [host for host in strangers if _role(host, roles) != WORKER]


def _role(host: str, roles: dict[str, str]) -> str | None:
    """Return the role of the node that a host name begins with, and of the longest such name."""
    nodes = [node for node in roles if host == node or host.startswith(f"{node}-")]
    return roles[max(nodes, key=len)] if nodes else None


def _summary(outputs: dict[str, Any]) -> str:
    nodes = "\n".join(
        f"    {node['name']:<12} {node['role']:<8} {node['address']}" for node in outputs["nodes"]
    )
    return f"""
  Airflow   {outputs["airflowUrl"]}
  login     {outputs["adminUser"]} / {outputs["adminPassword"]} (the first password)
  Flower    {outputs["flowerUrl"]}
  login     {outputs["adminUser"]} / {outputs["flowerPassword"]}
  nodes
{nodes}

  Next, after `. ./env.sh`:
    pulumi config set workers 3 && pulumi up    one more worker node
    {outputs["managerSsh"]} docker node ls
    pulumi destroy                              takes everything away
"""


if __name__ == "__main__":
    sys.exit(main())
