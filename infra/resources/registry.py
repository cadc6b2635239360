"""The embedded registry as a Pulumi resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import CreateResult, ReadResult, Resource, UpdateResult

from infra.images import project_images, registry
from infra.remote.machine import Machine
from infra.remote.rate_limit import CONNECTIONS_PER_SECOND
from infra.remote.runner import UNREACHABLE_SECONDS, RemoteError
from infra.resources.provider import OWNER, Props, Provider, is_adopted, owning, say
from infra.resources.ssh_pool import READ_CONNECT_SECONDS, login_inputs, ssh_pool
from infra.swarm import ownership

if TYPE_CHECKING:
    from collections.abc import Mapping

KIND = "registry"
CONNECT_SECONDS = UNREACHABLE_SECONDS
"""How long the machine may be unreachable when the registry is removed."""


class RegistryProvider(Provider):
    """Runs the registry on the first manager."""

    compared = (
        "machine",
        "private_key",
        "logins",
        "recipe",
        "certificate",
        "password",
        "former_password",
        "running",
    )

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this first, or again after an interrupted run: it adopts a registry."""
        return CreateResult(props["machine"]["name"], _ensure(owning(props)))

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this for another image, certificate or password, or if it does not run."""
        return UpdateResult(_ensure(owning(news, olds)))

    def read(self, id_: str, props: Props) -> ReadResult:
        """Pulumi calls this on refresh; an unreachable machine counts as drift too."""
        machine = Machine.from_dict(props["machine"])
        with ssh_pool(props) as pool:
            try:
                runner = pool.runner(machine, timeout=READ_CONNECT_SECONDS)
                running = registry.fingerprint(runner) == props["fingerprint"]
                running = running and not is_adopted(props, ownership.owner_of(runner, KIND))
            except RemoteError as error:
                say(f"it is unknown whether the registry runs: {error.machine}: {error.answer}")
                running = False
        return ReadResult(id_, {**props, "running": running})

    def delete(self, _id: str, props: Props) -> None:
        """Pulumi calls this if the machine outlives the cluster (see ``deleted_with``)."""
        machine = Machine.from_dict(props["machine"])
        with ssh_pool(props) as pool:
            try:
                runner = pool.runner(machine, timeout=CONNECT_SECONDS)
            except RemoteError:
                say(
                    f"{machine.name}: the registry stays there for now, because the machine does"
                    " not answer"
                )
                return
            if is_adopted(props, ownership.owner_of(runner, KIND)):
                say(f"{machine.name}: the registry stays, because another resource has adopted it")
                return
            registry.remove(runner)


class Registry(Resource, module="registry", name="Registry"):
    """A registry with TLS and a password on one machine."""

    def __init__(
        self,
        name: str,
        *,
        machine: pulumi.Input[Mapping[str, Any]],
        private_key: pulumi.Input[str],
        certificate: pulumi.Input[str],
        certificate_key: pulumi.Input[str],
        password: pulumi.Input[str],
        former_password: pulumi.Input[str],
        connections_per_second: int = CONNECTIONS_PER_SECOND,
        logins: pulumi.Input[Mapping[str, Any]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``certificate`` and ``certificate_key`` are PEM texts; ``machine`` the first manager.

        ``former_password`` is accepted too; empty if there is none.
        """
        props = {
            "machine": machine,
            **login_inputs(private_key, logins),
            "connections_per_second": connections_per_second,
            "recipe": registry.recipe(project_images.reference("registry")),
            "certificate": certificate,
            "certificate_key": pulumi.Output.secret(certificate_key),
            "password": pulumi.Output.secret(password),
            "former_password": pulumi.Output.secret(former_password),
            "running": True,
            "fingerprint": None,
        }
        super().__init__(RegistryProvider(), name, props, opts)


def _ensure(props: Props) -> Props:
    from infra.images import engine

    spec = registry.RegistrySpec(
        image=project_images.reference("registry"),
        certificate=props["certificate"],
        private_key=props["certificate_key"],
        password=props["password"],
        former_password=props["former_password"],
    )
    with ssh_pool(props) as pool:
        runner = pool.runner(Machine.from_dict(props["machine"]))
        ownership.claim(runner, KIND, props[OWNER])
        registry.ensure(runner, spec, save_image=lambda: engine.archive(spec.image))
    say(f"{props['machine']['name']}: the registry runs")
    return {**props, "running": True, "fingerprint": spec.fingerprint()}
