"""The Airflow stack as a Pulumi resource."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import pulumi
from pulumi.dynamic import CreateResult, ReadResult, Resource, UpdateResult

from infra.remote.machine import Machine
from infra.remote.rate_limit import CONNECTIONS_PER_SECOND
from infra.remote.runner import RemoteError
from infra.resources.provider import OWNER, Props, Provider, is_adopted, owning, say
from infra.resources.ssh_pool import READ_CONNECT_SECONDS, login_inputs, owner_on, ssh_pool
from infra.stack.render import RenderedStack, render
from infra.swarm import ownership

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.remote.pool import SshPool
    from infra.remote.runner import Runner
    from infra.stack.deploy import StackState
    from infra.stack.options import StackOptions


KIND = "stack"


class StackProvider(Provider):
    """Deploys the rendered compose file and waits until Airflow is healthy."""

    compared = (
        "rendered",
        "secrets",
        "configs",
        "login",
        "machines",
        "private_key",
        "logins",
        "converged",
    )

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this first, or again after an interrupted run: it adopts a stack."""
        return CreateResult(props["name"], _deploy(owning(props), {}))

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this for another image, number of workers or secret, or after drift."""
        return UpdateResult(_deploy(owning(news, olds), olds))

    def read(self, id_: str, props: Props) -> ReadResult:
        """Pulumi calls this on refresh: a service that was changed or is down is drift.

        An unreachable manager counts as drift too.
        """
        from infra.stack import backup_check
        from infra.stack.deploy import observe

        with ssh_pool(props) as pool:
            try:
                manager = _manager(pool, props, READ_CONNECT_SECONDS)
                state = observe(manager, props["name"])
            except RemoteError as error:
                say(f"the state of the services is unknown: {error.machine}: {error.answer}")
                state = None
            else:
                rendered = RenderedStack(**_whole(props["rendered"]))
                backup_check.report_problems(manager, rendered, say)
                if is_adopted(props, ownership.owner_of(manager, KIND)):
                    say("the services belong to another resource; `pulumi up` takes them back")
                    state = None
        converged = state is not None and _services(state) == props["services"]
        return ReadResult(id_, {**props, "converged": converged})

    def delete(self, _id: str, props: Props) -> None:
        """Pulumi calls this if the machines outlive the cluster (see ``deleted_with``)."""
        from infra.stack.remove import remove_from

        machines = [Machine.from_dict(record) for record in props["machines"]]
        with ssh_pool(props) as pool:
            if is_adopted(props, owner_on(machines, pool, KIND)):
                say("the services stay with their data, because another resource has adopted them")
                return
            remove_from(machines, pool, props["name"], report=say)


class Stack(Resource, module="stack", name="Stack"):
    """Airflow's services on the swarm."""

    def __init__(
        self,
        name: str,
        *,
        compose: Mapping[str, Any],
        options: pulumi.Output[StackOptions],
        secrets: pulumi.Input[Mapping[str, str]],
        configs: Mapping[str, str],
        machines: pulumi.Input[list[Mapping[str, Any]]],
        private_key: pulumi.Input[str],
        login: pulumi.Input[Mapping[str, Any]] | None,
        connections_per_second: int = CONNECTIONS_PER_SECOND,
        logins: pulumi.Input[Mapping[str, Any]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``compose`` is the compose file's content, ``secrets`` and ``configs`` values by name.

        ``machines`` starts with the first manager, which deploys the stack.

        ``login`` is the registry login of the nodes' engines; None if they already have every
        image.
        """
        props = {
            "name": name,
            "machines": machines,
            **login_inputs(private_key, logins),
            "connections_per_second": connections_per_second,
            "login": None if login is None else pulumi.Output.secret(login),
            "rendered": pulumi.Output.unsecret(
                # The result has only keyed hashes of secrets, not their values.
                options.apply(lambda known: asdict(render(compose, known)))
            ),
            "secrets": pulumi.Output.secret(secrets),
            "configs": pulumi.Output.secret(configs),
            "converged": True,
            "services": None,
        }
        super().__init__(StackProvider(), name, props, opts)


def _manager(pool: SshPool, props: Props, timeout: float | None = None) -> Runner:
    return pool.runner(Machine.from_dict(props["machines"][0]), timeout=timeout)


def _deploy(props: Props, olds: Props) -> Props:
    """Deploy, twice if a secret is rotated; ``olds`` are the last deployment's outputs."""
    from infra.stack import backup_check, rotation
    from infra.stack.deploy import RegistryLogin, deploy

    final = RenderedStack(**_whole(props["rendered"]))
    before = RenderedStack(**_whole(olds["rendered"])) if olds.get("rendered") else None
    login = RegistryLogin(**props["login"]) if props.get("login") else None
    with ssh_pool(props) as pool:
        manager = _manager(pool, props)

        def bring_up(rendered: RenderedStack, secrets: Mapping[str, str]) -> StackState:
            return deploy(
                manager, rendered, secrets, configs=props["configs"], registry=login, report=say
            )

        ownership.claim(manager, KIND, props[OWNER])
        if backup_check.is_due(final, before):
            backup_check.check(manager, final, props["secrets"], login=login and login.parts)
        state = rotation.deploy_rotating(
            manager,
            final,
            props["secrets"],
            olds.get("secrets") or {},
            bring_up=bring_up,
            report=say,
        )
        backup_check.report_problems(manager, final, say)
    return {**props, "services": _services(state), "converged": True}


def _services(state: StackState) -> dict[str, Any]:
    return {
        service.name: {"image": service.image, "desired": service.desired}
        for service in state.services
    }


def _whole(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Convert Pulumi's floats back to whole numbers (compose rejects 2.0)."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: _whole(item) for key, item in cast("dict[str, Any]", value).items()}
        case list():
            return [_whole(item) for item in cast("list[Any]", value)]
        case _:
            return value
