"""An image that is built here, pushed to the cluster's registry, and deployed by its digest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi.dynamic import CreateResult, Resource, UpdateResult

from infra import build_context, registry
from infra.project import ROOT
from infra.resources.provider import Props, Provider, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class RegistryAccess:
    """How images get into the registry, and under which name the nodes pull them."""

    push_host: str
    push_port: pulumi.Output[int]
    pull_address: pulumi.Output[str]
    authority: pulumi.Output[str]
    password: pulumi.Output[str]

    @property
    def push_address(self) -> pulumi.Output[str]:
        """The ``host:port`` that the operator's Docker pushes to."""
        return pulumi.Output.concat(self.push_host, ":", self.push_port.apply(str))


class DeployedImageProvider(Provider):
    """Reads a pushed image's digest; on delete takes the operator's local tag away."""

    compared = ("tag", "push_address")

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this after the first push."""
        outs = _with_digest(props)
        return CreateResult(f"{props['repository']}:{props['tag']}", outs)

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this after the push of another content."""
        from infra.machines import local_engine

        outs = _with_digest(news)
        local_engine.retag(_local_name(news), news["kept_as"], untag=False)
        if _local_name(olds) != _local_name(news):
            local_engine.untag(_local_name(olds))
        return UpdateResult(outs)

    def delete(self, _id: str, props: Props) -> None:
        """Pulumi calls this on destroy: the layers stay for the next build, the name goes."""
        from infra.machines import local_engine

        local_engine.retag(_local_name(props), props["kept_as"], untag=True)


class DeployedImage(Resource, module="images", name="DeployedImage"):
    """An image as the registry has it."""

    digest: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        access: RegistryAccess,
        repository: str,
        tag: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``repository`` and ``tag`` were pushed to ``access`` before."""
        props = {
            "repository": repository,
            "tag": tag,
            "push_address": access.push_address,
            "push_host": access.push_host,
            "push_port": access.push_port,
            "authority": access.authority,
            "password": access.password,
            "kept_as": f"dairflow/{repository}:trixie",
            "digest": None,
        }
        super().__init__(DeployedImageProvider(), name, props, opts)


class PublishedImage(pulumi.ComponentResource):
    """Build, push, and read back the digest. ``reference`` is what the nodes pull."""

    def __init__(
        self,
        name: str,
        *,
        dockerfile: Path,
        context: Path,
        access: RegistryAccess,
        platform: str,
        opts: pulumi.ResourceOptions | None = None,
        depends_on: Sequence[pulumi.Resource] = (),
    ) -> None:
        """Build ``dockerfile`` in ``context`` and push it as the repository ``name``."""
        import pulumi_docker as docker

        super().__init__("dairflow:images:PublishedImage", name, None, opts)
        arguments = build_context.arguments(dockerfile, os.environ)
        tag = build_context.tag(context, dockerfile, arguments)
        image = docker.Image(
            f"{name}-image",
            image_name=pulumi.Output.concat(access.push_address, "/", name, ":", tag),
            build=docker.DockerBuildArgs(
                context=str(context.relative_to(ROOT) if context != ROOT else "."),
                dockerfile=str(dockerfile.relative_to(ROOT)),
                args=arguments or None,
                platform=platform,
            ),
            registry=docker.RegistryArgs(
                server=access.push_address, username=registry.USER, password=access.password
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(depends_on)),
        )
        deployed = DeployedImage(
            f"{name}-digest",
            access=access,
            repository=name,
            tag=tag,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[image]),
        )
        self.reference = pulumi.Output.concat(access.pull_address, "/", name, "@", deployed.digest)
        self.register_outputs({"reference": self.reference})


def _with_digest(props: Props) -> Props:
    endpoint = registry.Endpoint(
        host=props["push_host"],
        port=int(props["push_port"]),
        authority=props["authority"],
        password=props["password"],
    )
    digest = registry.digest(endpoint, props["repository"], props["tag"])
    if not digest:
        msg = (
            f"the registry has no {props['repository']}:{props['tag']}, though it was pushed. "
            "Run `pulumi up` again; it pushes what is missing."
        )
        raise registry.RegistryError(msg)
    say(f"{props['repository']}: in the registry as {digest[:19]}…")
    return {**props, "digest": digest}


def _local_name(props: Props) -> str:
    return f"{props['push_address']}/{props['repository']}:{props['tag']}"
