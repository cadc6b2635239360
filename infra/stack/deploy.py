"""Deploys a rendered stack through a manager, and waits until Airflow is healthy."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from infra.stack import convergence, engine, health, memory_settings, network, placement
from infra.stack.errors import StackError
from infra.stack.patience import Patience, limit, starting
from infra.stack.problems import FILE
from infra.stack.tasks import FAILURES
from infra.stack.yaml_values import as_object

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from infra.remote.runner import Runner
    from infra.stack.render import RenderedStack
    from infra.stack.tasks import Snapshot, Task

NOT_PULLED = "No such image"
"""Error of a task whose node could not pull its image, for any cause (moby's executor)."""

KILLED = "non-zero exit (137)"
"""What a task says that SIGKILL has ended, as the kernel does at its memory limit."""
UNHEALTHY = "unhealthy container"
"""What it says as well if the engine has ended it, for its health check."""

POLL_SECONDS = 1.5
REMOVAL_TIMEOUT_SECONDS = 120.0
LOGS_AFTER_SECONDS = 60.0
LOGS_EVERY_SECONDS = 30.0
DOWN_SECONDS = 45.0
"""How long a worker node may be down, for example while its engine restarts."""


@dataclass(frozen=True, kw_only=True)
class RegistryLogin:
    """Login of the nodes' engines to the registry of the images."""

    address: str
    user: str
    password: str = field(repr=False)

    @property
    def parts(self) -> engine.Login:
        """The address, the user and the password."""
        return self.address, self.user, self.password


@dataclass(frozen=True, kw_only=True)
class ServiceState:
    """State of a service: its image by digest, desired and running tasks."""

    name: str
    image: str
    desired: int
    running: int


@dataclass(frozen=True, kw_only=True)
class StackState:
    """State of the stack.

    ``digest`` is the digest of the deployed document, empty if the services are not all from one
    deployment.
    """

    name: str
    digest: str
    services: tuple[ServiceState, ...]


def deploy(
    runner: Runner,
    rendered: RenderedStack,
    secrets: Mapping[str, str],
    *,
    configs: Mapping[str, str] | None = None,
    registry: RegistryLogin | None = None,
    report: Callable[[str], None],
) -> StackState:
    """Bring the stack to ``rendered`` and wait until every service has converged.

    Idempotent: only differences are updated. ``runner`` is a manager's. ``secrets`` and ``configs``
    are values by their logical names. The whole wait has no time limit, so that a deployment on a
    slow machine is slow and does not fail (see `infra.stack.patience`).

    Raises:
        StackError: if a worker node is down, a task keeps failing, or the progress has ended; see
            its own documentation.
        RemoteError: if the manager cannot be reached, or rejects the document.

    """
    deployment = _Deployment(runner, rendered, secrets, configs or {}, report)
    engine.require_manager(runner)
    deployment.wait_for_workers()
    deployment.wait_for_removal()
    deployment.check_network()
    before = engine.snapshot(runner, rendered.name)
    already_failed = {task.id for task in before.tasks if task.state in FAILURES}
    deployment.create_values()
    login = registry.parts if registry else None
    engine.stack_deploy(runner, rendered.name, rendered.to_bytes(datetime.now(UTC)), login=login)
    deployment.wait_for_convergence(already_failed)
    deployment.sweep_values()
    state = observe(runner, rendered.name)
    if state is None:
        msg = f"the stack {rendered.name} converged and was then removed by someone else"
        raise StackError(msg)
    return state


def observe(runner: Runner, name: str) -> StackState | None:
    """Return the current state of the stack, or None if it does not exist.

    Raises:
        RemoteError: if the manager cannot be reached.

    """
    seen = engine.snapshot(runner, name)
    if not seen.services:
        return None
    digests = {service.digest for service in seen.services}
    return StackState(
        name=name,
        digest=digests.pop() if len(digests) == 1 else "",
        services=tuple(
            ServiceState(
                name=service.name,
                image=service.image,
                desired=convergence.desired(seen, service),
                running=convergence.up_count(seen, service),
            )
            for service in seen.services
        ),
    )


class _Deployment:
    """A run of `deploy`: the state that its steps share."""

    def __init__(
        self,
        runner: Runner,
        rendered: RenderedStack,
        secrets: Mapping[str, str],
        configs: Mapping[str, str],
        report: Callable[[str], None],
    ) -> None:
        self._runner = runner
        self._rendered = rendered
        self._secrets = secrets
        self._configs = configs
        self._report = report
        self._reported = ""
        self._logs = ""
        self._logs_read = 0.0
        self._down_since: float | None = None

    def wait_for_workers(self) -> None:
        """Wait until no worker node is down.

        An update would wait for it without end, and the other nodes would not be updated.

        Raises:
            StackError: if one stays down.

        """
        while down := self._down_workers():
            self._report_once(
                f"waiting at most {DOWN_SECONDS:g} s for {', '.join(down)}, which is down"
            )
            time.sleep(POLL_SECONDS)

    def wait_for_removal(self) -> None:
        """Wait until a stack with this name that is being removed has been removed.

        ``stack rm`` returns before the network is removed; a deployment that finds the network does
        not create it, and then fails half-way (moby#29293).
        """
        deadline = time.monotonic() + REMOVAL_TIMEOUT_SECONDS
        name = self._rendered.name
        while True:
            seen = engine.snapshot(self._runner, name)
            left = engine.stack_networks(self._runner, name) if not seen.services else []
            if seen.services or not (left or seen.tasks):
                return
            self._report_once("an earlier removal of this stack is still in progress")
            if time.monotonic() > deadline:
                tasks = ", ".join(f"{task.slot} on {task.node}" for task in seen.tasks)
                msg = (
                    f"{self._runner.machine}: waited {REMOVAL_TIMEOUT_SECONDS:.0f} s for the"
                    f" removal of an earlier stack {name}; remaining: networks {left or 'none'},"
                    f" tasks {tasks or 'none'}. A node may be down: check `docker node ls` and"
                    f" `docker stack ps {name}` on that machine."
                )
                raise StackError(msg)
            time.sleep(POLL_SECONDS)

    def check_network(self) -> None:
        """Check that the network is large enough: a deployment does not change an existing one.

        The swarm does not place a task without an address, and does not report it.

        Raises:
            StackError: if it is too small.

        """
        wanted = self._rendered
        subnet = engine.network_subnet(self._runner, wanted.name, network.NETWORK)
        if not subnet or subnet == wanted.subnet:
            return
        name = f"{wanted.name}_{network.NETWORK}"
        move = (
            f"when no task runs, `docker stack rm {wanted.name}` on {self._runner.machine.name} and"
            " `pulumi up`; the data stay in their volumes"
        )
        room = network.capacity(subnet)
        if room < wanted.addresses:
            msg = (
                f"{self._runner.machine}: the network {name} is {subnet}, with {room:,} addresses;"
                f" these settings need {wanted.addresses:,} ({wanted.demand}). It cannot change"
                " while services use it. Nothing was deployed.\n"
                f"Next: set fewer workers; or move Airflow to the network {wanted.subnet}: {move}."
            )
            raise StackError(msg)
        self._report_once(
            f"the network {name} stays {subnet}; to move Airflow to {wanted.subnet}: {move}"
        )

    def create_values(self) -> None:
        """Create the secrets and configs that the swarm does not have under their current names."""
        for kind, names, values in self._values():
            present = engine.value_names(self._runner, kind, self._rendered.name)
            missing = {
                name: values[logical] for logical, name in names.items() if name not in present
            }
            if missing:
                engine.create_values(self._runner, kind, self._rendered.name, missing)

    def sweep_values(self) -> None:
        """Remove the secrets and configs of former values: the swarm never does (moby#35048)."""
        for kind, names, _ in self._values():
            present = engine.value_names(self._runner, kind, self._rendered.name)
            engine.remove_values(self._runner, kind, present - set(names.values()))

    def _values(self) -> list[tuple[engine.Kind, Mapping[str, str], Mapping[str, str]]]:
        return [
            ("secret", self._rendered.secrets, self._secrets),
            ("config", self._rendered.configs, self._configs),
        ]

    def wait_for_convergence(self, already_failed: Collection[str]) -> None:
        """Poll until all services and Airflow are healthy, or raise an error with the cause."""
        patience = Patience(time.monotonic())
        while True:
            seen = engine.snapshot(self._runner, self._rendered.name)
            self._raise_on_failure(seen, already_failed)
            waiting = self._waiting_for(seen)
            if not waiting:
                return
            self._down_workers()
            still = patience.still(time.monotonic())
            if still >= LOGS_AFTER_SECONDS:
                self._read_logs(seen)
            patience.see(time.monotonic(), seen, waiting, self._logs)
            self._report_once(f"{waiting}{_stillness(still, limit(seen))}")
            if patience.is_over(time.monotonic(), seen):
                self._raise_timeout(seen, waiting, patience.still(time.monotonic()))
            time.sleep(POLL_SECONDS)

    def _read_logs(self, seen: Snapshot) -> None:
        """Read the last line of each starting task, the only sign of progress of a slow start."""
        if time.monotonic() - self._logs_read >= LOGS_EVERY_SECONDS:
            tasks = sorted(task.id for task in starting(seen))
            self._logs = engine.last_lines(self._runner, tasks)
            self._logs_read = time.monotonic()

    def _down_workers(self) -> list[str]:
        """Return the names of the worker nodes that are down.

        Raises:
            StackError: if any have been down for `DOWN_SECONDS`.

        """
        down = engine.down_workers(self._runner)
        if not down:
            self._down_since = None
            return []
        now = time.monotonic()
        self._down_since = now if self._down_since is None else self._down_since
        if now - self._down_since > DOWN_SECONDS:
            names = ", ".join(down)
            msg = (
                f"{self._runner.machine}: {names}: down for {DOWN_SECONDS:g} s according to the"
                " swarm. Its workers cannot be updated, and those of the other nodes would wait"
                " for them.\n"
                f"Next: start {names} and run `pulumi up` again. If a host of yours is lost, remove"
                " it from `hosts` and run `pulumi up`. A machine that this program creates:"
                " `pulumi up --refresh` recreates it."
            )
            raise StackError(msg)
        return down

    def _waiting_for(self, seen: Snapshot) -> str:
        """Return what is not ready yet; cheap checks come first."""
        expected = set(self._rendered.document["services"])
        if missing := expected - {service.name for service in seen.services}:
            return f"not created yet: {', '.join(sorted(missing))}"
        if waiting := convergence.progress(seen):
            return waiting
        if outdated := self._outdated(seen):
            return f"being replaced: {', '.join(outdated)}"
        problems = health.ask(self._runner, self._rendered.web_port).problems
        return f"Airflow reports: {', '.join(problems)}" if problems else ""

    def _outdated(self, seen: Snapshot) -> list[str]:
        """Return the slots that run a different specification than their service's.

        Just after a deployment the swarm has not begun to replace tasks, and all seem converged.
        """
        wanted = {service.name: service.container for service in seen.services}
        current = [task for service in seen.services for task in seen.newest(service)]
        found = engine.task_containers(self._runner, [task.id for task in current])
        return sorted(task.slot for task in current if found.get(task.id) != wanted[task.service])

    def _raise_on_failure(self, seen: Snapshot, already_failed: Collection[str]) -> None:
        if task := convergence.crash_loop(seen, already_failed):
            raise StackError(
                self._explain(f"{task.service} does not start: it failed repeatedly", task)
            )
        if service := convergence.paused_update(seen):
            task = convergence.stopped_by(seen, service)
            raise StackError(
                self._explain(
                    f"the update of {service.name} was stopped: {service.update_message}", task
                )
            )

    def _raise_timeout(self, seen: Snapshot, waiting: str, still: float) -> None:
        name = self._rendered.name
        what = f"the stack {name} has made no progress for {still:.0f} s; last seen: {waiting}"
        unsettled = convergence.unsettled(seen)
        task = convergence.last_failure(seen, unsettled[0]) if unsettled else None
        raise StackError(self._explain(what, task, placement.causes(seen)))

    def _explain(self, what: str, task: Task | None, causes: Collection[str] = ()) -> str:
        """Compose an error's text: the failure, the engine's error, the log, the next step."""
        name = self._rendered.name
        lines = [f"{self._runner.machine}: {what}.", *causes]
        if task is not None:
            lines.append(
                f"Task {task.slot} ({task.id}) on node {task.node or '(none yet)'}:"
                f" {task.state}{': ' + task.error if task.error else ''}"
            )
            if NOT_PULLED in task.error:
                lines.append(
                    f"{task.node} could not pull the image: the registry does not answer it, or"
                    " rejects it. The firewall of that node or of the first manager may block the"
                    " connection: `pulumi up --refresh` restores both."
                )
            if KILLED in task.error and UNHEALTHY not in task.error:
                lines.append(self._memory_advice(task.service))
            log = engine.task_log(self._runner, task.id)
            lines += ["Last lines of its log:", *(f"  {line}" for line in log.splitlines())]
        lines.append(
            "Next: fix the cause and rerun `pulumi up`; running services are kept. For details,"
            f" run `docker stack ps --no-trunc {name}` on that machine."
        )
        return self._without_secrets("\n".join(lines))

    def _memory_advice(self, service: str) -> str:
        deploy = as_object(
            as_object(self._rendered.document["services"].get(service)).get("deploy")
        )
        limit = as_object(as_object(deploy.get("resources")).get("limits")).get("memory")
        has = f"its memory limit, {limit}, is" if limit else "the memory of its node is"
        setting = f"services.{service}.deploy.resources.limits.memory in {FILE}"
        return (
            f"Exit code 137: {service} was ended by SIGKILL. The likeliest reason is that {has} too"
            f" small. To change the limit: {memory_settings.command(service) or setting}."
        )

    def _without_secrets(self, text: str) -> str:
        for value in self._secrets.values():
            for line in filter(None, (value, *value.splitlines())):
                text = text.replace(line, "***")
        return text

    def _report_once(self, line: str) -> None:
        if line != self._reported:
            self._report(line)
            self._reported = line


def _stillness(still: float, limit: float) -> str:
    """Return for how many minutes nothing has changed; empty in the first minute."""
    minutes = int(still // 60)
    return f" [no change for {minutes} min; gives up after {limit / 60:.0f}]" if minutes else ""
