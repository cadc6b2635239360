"""The loopback port by which images are pushed through SSH, chosen once and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi.dynamic import CreateResult, ReadResult, Resource, UpdateResult

from infra.remote import tunnel
from infra.resources.provider import Props, Provider

if TYPE_CHECKING:
    import pulumi


class PushPortProvider(Provider):
    """Chooses a free port. It is part of every image's name, so it stays while it can be had."""

    compared = ("free",)

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this once for a stack."""
        outs = _chosen(props)
        return CreateResult(str(outs["port"]), outs)

    def read(self, id_: str, props: Props) -> ReadResult:
        """Pulumi calls this on refresh, when no program of ours listens."""
        return ReadResult(id_, {**props, "free": tunnel.is_free(int(props["port"]))})

    def update(self, _id: str, _olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this when a refresh saw that another program has taken the port."""
        return UpdateResult(_chosen(news))


class PushPort(Resource, module="registry", name="PushPort"):
    """A loopback port of the operator's machine."""

    port: pulumi.Output[int]

    def __init__(self, name: str, *, opts: pulumi.ResourceOptions | None = None) -> None:
        """Choose a port that is free."""
        super().__init__(PushPortProvider(), name, {"port": None, "free": True}, opts)


def _chosen(props: Props) -> Props:
    return {**props, "port": tunnel.choose_port(), "free": True}
