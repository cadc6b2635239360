"""Pulls images on the nodes before a deployment."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

from pulumi.dynamic import CreateResult, ReadResult, Resource, UpdateResult

from infra.remote.machine import Machine
from infra.remote.rate_limit import CONNECTIONS_PER_SECOND
from infra.remote.runner import RemoteError
from infra.resources.provider import Props, Provider, say
from infra.resources.ssh_pool import READ_CONNECT_SECONDS, login_inputs, side_by_side, ssh_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pulumi

    from infra.remote.pool import SshPool
    from infra.remote.runner import Runner

_T = TypeVar("_T")


class NodeImagesProvider(Provider):
    """Makes every node pull the images of its role from ECR (see ``infra/images/ecr.py``)."""

    compared = ("machines", "private_key", "references", "present")

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this first, or again after an interrupted run."""
        _pull(props)
        return CreateResult("node-images", props)

    def update(self, _id: str, _olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this for another image or machine, or if a node lacks an image."""
        _pull(news)
        return UpdateResult(news)

    def read(self, id_: str, props: Props) -> ReadResult:
        """Pulumi calls this on refresh; an unreachable machine counts as drift."""
        from infra.images import ecr

        def lacks_some(runner: Callable[[], Runner], references: list[str]) -> bool:
            try:
                return bool(ecr.missing(runner(), references))
            except RemoteError as error:
                say(f"it is unknown whether it has its images: {error}")
                return True

        lacking = _on_every_node(props, lacks_some, timeout=READ_CONNECT_SECONDS)
        return ReadResult(id_, {**props, "present": not any(lacking)})


class NodeImages(Resource, module="images", name="NodeImages"):
    """The images that machines have, by digest."""

    def __init__(
        self,
        name: str,
        *,
        references: pulumi.Input[Mapping[str, list[str]]],
        machines: pulumi.Input[list[Mapping[str, Any]]],
        private_key: pulumi.Input[str],
        connections_per_second: int = CONNECTIONS_PER_SECOND,
        logins: pulumi.Input[Mapping[str, Any]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Take ``references``: a role's images, each as ``registry/repository@sha256:…``."""
        props = {
            "references": references,
            "machines": machines,
            **login_inputs(private_key, logins),
            "connections_per_second": connections_per_second,
            "present": True,
        }
        super().__init__(NodeImagesProvider(), name, props, opts)


def _pull(props: Props) -> None:
    from infra.images import ecr

    _on_every_node(props, lambda runner, references: ecr.pull(runner(), references, report=say))


def _on_every_node(
    props: Props,
    act: Callable[[Callable[[], Runner], list[str]], _T],
    *,
    timeout: float | None = None,
) -> list[_T]:
    """Act on the machines in parallel; the first error is raised after all have ended.

    ``act`` receives a function that connects within ``timeout`` seconds, and the machine's images.
    """
    machines = [Machine.from_dict(record) for record in props["machines"]]

    def on(pool: SshPool, machine: Machine) -> _T:
        connect = functools.partial(pool.runner, machine, timeout=timeout)
        return act(connect, props["references"][machine.role])

    with ssh_pool(props) as pool:
        return side_by_side(functools.partial(on, pool), machines)
