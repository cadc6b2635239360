"""Keeps the images of the newest releases, and removes others after each deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi.dynamic import CreateResult, Resource, UpdateResult

from infra.remote.machine import Machine
from infra.remote.rate_limit import CONNECTIONS_PER_SECOND
from infra.remote.runner import RemoteError
from infra.resources.provider import Props, Provider, say
from infra.resources.ssh_pool import READ_CONNECT_SECONDS, login_inputs, side_by_side, ssh_pool

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi

    from infra.remote.pool import SshPool


class KeptImagesProvider(Provider):
    """Keeps the releases in the state, and removes the images of others."""

    compared = ("references", "keep")

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this after the first deployment."""
        return CreateResult("kept-images", _clean(props, []))

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this after a deployment of other images."""
        return UpdateResult(_clean(news, olds["releases"]))


class KeptImages(Resource, module="images", name="KeptImages"):
    """The images that are kept on machines and in the registry."""

    def __init__(
        self,
        name: str,
        *,
        references: pulumi.Input[list[str]],
        owned: pulumi.Input[list[str]],
        registry: pulumi.Input[Mapping[str, Any]] | None,
        keep: int,
        machines: pulumi.Input[list[Mapping[str, Any]]],
        private_key: pulumi.Input[str],
        connections_per_second: int = CONNECTIONS_PER_SECOND,
        logins: pulumi.Input[Mapping[str, Any]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Take ``references``: the running images, each as ``registry/repository@sha256:…``.

        ``owned`` are the prefixes of the names of the cluster's own images. ``registry`` is the
        `infra.images.registry.Endpoint` of the registry on the first machine; None for another
        registry.
        """
        props = {
            "references": references,
            "owned": owned,
            "registry": registry,
            "keep": keep,
            "machines": machines,
            **login_inputs(private_key, logins),
            "connections_per_second": connections_per_second,
            "releases": None,
        }
        super().__init__(KeptImagesProvider(), name, props, opts)


def _clean(props: Props, former: list[list[str]]) -> Props:
    from infra.images import retention as image_retention

    releases = image_retention.newest(former, props["references"], int(props["keep"]))
    kept = {reference for release in releases for reference in release}
    machines = [Machine.from_dict(record) for record in props["machines"]]
    with ssh_pool(props) as pool:
        side_by_side(lambda machine: _clean_node(pool, machine, props, kept), machines)
        if props.get("registry"):  # Pulumi leaves out an input without a value
            _clean_registry(pool, machines[0], props["registry"], kept)
    return {**props, "releases": releases}


def _clean_node(pool: SshPool, machine: Machine, props: Props, kept: set[str]) -> None:
    """Clean a node; a failure does not fail the deployment, since the next release repeats it."""
    from infra.images import retention as image_retention

    try:
        runner = pool.runner(machine, timeout=READ_CONNECT_SECONDS)
        image_retention.clean_node(runner, owned=props["owned"], kept=kept, report=say)
    except RemoteError as error:
        say(f"{machine.name}: the images of former releases stay until the next one: {error}")


def _clean_registry(
    pool: SshPool, machine: Machine, endpoint: Mapping[str, Any], kept: set[str]
) -> None:
    from infra.images import registry
    from infra.images import retention as image_retention

    reached = registry.Endpoint(
        host=endpoint["host"],
        port=int(endpoint["port"]),
        authority=endpoint["authority"],
        password=endpoint["password"],
    )
    try:
        deleted = image_retention.clean_registry(pool.runner(machine), reached, kept=kept)
    except (RemoteError, registry.RegistryError) as error:
        say(f"the registry keeps the images of former releases until the next one: {error}")
        return
    if deleted:
        say(f"the registry: deleted {deleted} images of former releases")
