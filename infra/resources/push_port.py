"""The loopback port for pushing images through SSH, chosen once and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi.dynamic import CreateResult, ReadResult, Resource, UpdateResult

from infra.remote import tunnel
from infra.resources.provider import Props, Provider

if TYPE_CHECKING:
    import pulumi


class PushPortProvider(Provider):
    """Chooses a free port. It is part of every image's name, so it is kept while it is free."""

    compared = ("free",)

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this once for a stack."""
        outs = _chosen(props)
        return CreateResult(str(outs["port"]), outs)

    def read(self, id_: str, props: Props) -> ReadResult:
        """Pulumi calls this on refresh, when no program of this project listens."""
        return ReadResult(id_, {**props, "free": tunnel.is_free(int(props["port"]))})

    def update(self, _id: str, _olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this if a refresh found that another program uses the port."""
        return UpdateResult(_chosen(news))


class PushPort(Resource, module="registry", name="PushPort"):
    """A loopback port of the operator's machine."""

    port: pulumi.Output[int]

    def __init__(self, name: str, *, opts: pulumi.ResourceOptions | None = None) -> None:
        """Choose a free port."""
        super().__init__(PushPortProvider(), name, {"port": None, "free": True}, opts)


def _chosen(props: Props) -> Props:
    return {**props, "port": tunnel.choose_port(), "free": True}
