"""Runs the stack's Docker commands on a manager, and parses their output."""

from __future__ import annotations

import base64
from shlex import quote
from typing import TYPE_CHECKING, Literal

from infra.stack.errors import StackError
from infra.stack.tasks import Snapshot, parse_services, parse_task_containers, parse_tasks
from infra.swarm.cluster import MACHINE_LABEL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any

    from infra.remote.runner import Completed, Runner

NAMESPACE = "com.docker.stack.namespace"
"""The engine's label for objects of a stack."""

Kind = Literal["secret", "config"]
"""Immutable objects of a swarm that it mounts into services as files."""

Login = tuple[str, str, str]
"""A registry's address, user and password."""

KINDS: tuple[Kind, ...] = ("secret", "config")

LOG_LINES = 25
_SEPARATOR = "-- tasks --"
_DEPLOY_TIMEOUT_SECONDS = 180.0
_LOG_TIMEOUT_SECONDS = 20.0
_ROTATION_TIMEOUT_SECONDS = 600.0


def snapshot(runner: Runner, stack: str) -> Snapshot:
    """Read the stack's services and tasks; both are empty if the stack does not exist.

    Services are read first: the status of a service's update follows from its tasks, which are then
    read at that moment or later, including a failure that stopped the update.
    """
    answer = runner.run(
        f"services=$(docker service ls -q --filter label={NAMESPACE}={quote(stack)}) || exit;"
        " [ -z \"$services\" ] || docker service inspect --format '{{json .}}' $services || exit;"
        f" echo {quote(_SEPARATOR)};"
        f" docker stack ps --no-trunc --format '{{{{json .}}}}' {quote(stack)} 2>/dev/null || true"
    )
    services, _, tasks = answer.stdout.partition(_SEPARATOR)
    return Snapshot(services=parse_services(stack, services), tasks=parse_tasks(stack, tasks))


def task_containers(runner: Runner, tasks: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Return the specification of each task, by the task's ID."""
    ids = " ".join(quote(task) for task in tasks)
    if not ids:
        return {}
    answer = runner.run(f"docker inspect --type task --format '{{{{json .}}}}' {ids}")
    return parse_task_containers(answer.stdout)


def task_log(runner: Runner, task: str) -> str:
    """Return the last lines of a task's log; empty if its node does not answer."""
    answer = runner.run(
        f"timeout {_LOG_TIMEOUT_SECONDS:.0f} docker service logs --raw --tail {LOG_LINES}"
        f" {quote(task)} 2>&1",
        timeout=_LOG_TIMEOUT_SECONDS * 2,
        check=False,
    )
    return answer.stdout.rstrip() if answer.exit_status == 0 else ""


def last_lines(runner: Runner, tasks: Iterable[str]) -> str:
    """Return the last line of each task's log, without tasks whose node does not answer."""
    ids = " ".join(quote(task) for task in tasks)
    if not ids:
        return ""
    answer = runner.run(
        f"for task in {ids}; do timeout {_LOG_TIMEOUT_SECONDS:.0f}"
        ' docker service logs --raw --tail 1 "$task" 2>/dev/null || true; done',
        timeout=_LOG_TIMEOUT_SECONDS * (1 + len(ids.split())),
        check=False,
    )
    return answer.stdout


def value_names(runner: Runner, kind: Kind, stack: str) -> set[str]:
    """Return the names of the stack's secrets, or of its configs."""
    answer = runner.run(
        f"docker {kind} ls --filter label={NAMESPACE}={quote(stack)} --format '{{{{.Name}}}}'"
    )
    return set(answer.stdout.split())


def create_values(runner: Runner, kind: Kind, stack: str, values: Mapping[str, str]) -> None:
    """Create secrets or configs, name → value, through standard input and never on disk."""
    lines = [f"{name} {base64.b64encode(text.encode()).decode()}" for name, text in values.items()]
    runner.run(
        "set -e; while read -r name value; do"
        ' printf %s "$value" | base64 -d |'
        f' docker {kind} create --label {NAMESPACE}={quote(stack)} "$name" - >/dev/null; done',
        stdin="".join(f"{line}\n" for line in lines).encode(),
    )


def remove_values(runner: Runner, kind: Kind, names: Collection[str]) -> None:
    """Remove secrets or configs that are not used any more; those in use stay."""
    if names:
        arguments = " ".join(quote(name) for name in sorted(names))
        runner.run(f"docker {kind} rm {arguments} >/dev/null 2>&1 || true")


def stack_deploy(runner: Runner, stack: str, document: bytes, *, login: Login | None) -> None:
    """Run ``docker stack deploy``.

    The login is kept in a temporary folder during the deployment. Every image has a digest, so none
    needs to be resolved (docker/cli#787).

    Raises:
        RemoteError: with the engine's message.

    """
    registry = "" if login is None else "--with-registry-auth "
    docker(
        runner,
        f"stack deploy --prune --resolve-image never {registry}-c - {quote(stack)}",
        stdin=document,
        login=login,
        timeout=_DEPLOY_TIMEOUT_SECONDS,
    )


def docker(
    runner: Runner,
    arguments: str,
    *,
    stdin: bytes,
    login: Login | None,
    timeout: float,
    check: bool = True,
) -> Completed:
    """Run a docker command with a temporary login to a registry.

    Raises:
        RemoteError: with the engine's message.

    """
    if login is None:
        return runner.run(f"docker {arguments}", stdin=stdin, timeout=timeout, check=check)
    address, user, password = login
    return runner.run(
        "set -e; folder=$(mktemp -d); trap 'rm -rf \"$folder\"' EXIT;"
        " IFS= read -r password;"
        f' printf %s "$password" | docker --config "$folder" login -u {quote(user)}'
        f' --password-stdin {quote(address)} >/dev/null 2>"$folder/error"'
        ' || { cat "$folder/error" >&2; exit 1; };'
        f' docker --config "$folder" {arguments}',
        stdin=password.encode() + b"\n" + stdin,
        timeout=timeout,
        check=check,
    )


def container_of(runner: Runner, stack: str, services: Iterable[str]) -> str | None:
    """Return a healthy container of one of the services on this machine, or None."""
    for service in services:
        label = f"com.docker.swarm.service.name={stack}_{service}"
        answer = runner.run(f"docker ps -q --filter label={quote(label)} --filter health=healthy")
        if answer.stdout.strip():
            return answer.stdout.split()[0]
    return None


def rotate_fernet_key(runner: Runner, container: str) -> None:
    """Run Airflow's own command, which reads all keys and writes with the first."""
    runner.run(
        f"docker exec {quote(container)} /opt/dairflow/entrypoint.sh airflow rotate-fernet-key",
        timeout=_ROTATION_TIMEOUT_SECONDS,
    )


def stack_networks(runner: Runner, stack: str) -> list[str]:
    """Return the networks of the stack in this machine's engine."""
    answer = runner.run(
        f"docker network ls --filter label={NAMESPACE}={quote(stack)} --format '{{{{.Name}}}}'"
    )
    return answer.stdout.split()


def network_subnet(runner: Runner, stack: str, network: str) -> str:
    """Return the subnet of a network of the stack; empty if it does not exist."""
    answer = runner.run(
        "docker network inspect --format '{{range .IPAM.Config}}{{.Subnet}}{{\"\\n\"}}{{end}}'"
        f" {quote(f'{stack}_{network}')} 2>/dev/null",
        check=False,
    )
    return next(iter(answer.stdout.split()), "")


def orphans(runner: Runner, stack: str) -> list[str]:
    """Return orphaned networks and containers of the stack in this machine's engine.

    The agent of a node removes a task's container some time after the swarm has removed the task.
    """
    label = f"--filter label={NAMESPACE}={quote(stack)}"
    answer = runner.run(
        f"docker network ls {label} --format 'network {{{{.Name}}}}';"
        f" docker ps -a {label} --format 'container {{{{.Names}}}}'"
    )
    return answer.stdout.splitlines()


def down_workers(runner: Runner) -> list[str]:
    """Return the names of the worker nodes that are down according to the managers."""
    answer = runner.run(
        "down=$(docker node ls --filter role=worker --format '{{.Status}} {{.ID}}'"
        " | sed -n 's/^Down //p'); [ -z \"$down\" ] || docker node inspect --format"
        f' \'{{{{with index .Spec.Labels "{MACHINE_LABEL}"}}}}{{{{.}}}}'
        "{{else}}{{.Description.Hostname}}{{end}}' $down"
    )
    return sorted(answer.stdout.split())


def require_manager(runner: Runner) -> None:
    """Check that the machine is a manager of a swarm.

    Raises:
        StackError: if it is not.

    """
    answer = runner.run("docker info --format '{{.Swarm.ControlAvailable}}'")
    if answer.stdout.strip() != "true":
        msg = (
            f"{runner.machine}: is not a manager of a swarm, so a stack cannot be deployed there."
            " Join it as a manager first."
        )
        raise StackError(msg)
