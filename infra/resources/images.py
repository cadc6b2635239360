"""Images that are built here, pushed to a registry, and deployed by digest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import CreateResult, ReadResult, Resource, UpdateResult

from infra.images import build_context, project_images, registry
from infra.project import ROOT
from infra.resources.image_builds import ImageBuild
from infra.resources.provider import Props, Provider, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from infra.images.access import RegistryAccess
    from infra.machines.aws.ecr import EcrLogin

HTTPS_PORT = 443


@dataclass(frozen=True, kw_only=True)
class EmbeddedAccess:
    """The registry on the first manager, to which ``docker.Image`` pushes (`RegistryAccess`)."""

    push_host: str
    push_port: pulumi.Output[int]
    pull_address: pulumi.Output[str]
    authority: pulumi.Output[str]
    password: pulumi.Output[str]

    @property
    def push_address(self) -> pulumi.Output[str]:
        """The ``host:port`` to which the operator's Docker pushes."""
        return pulumi.Output.concat(self.push_host, ":", self.push_port.apply(str))

    def pushed_as(self, name: str) -> pulumi.Output[str]:
        """See `RegistryAccess`."""
        return pulumi.Output.concat(self.push_address, "/", name)

    def pulled_as(self, name: str) -> pulumi.Output[str]:
        """See `RegistryAccess`."""
        return pulumi.Output.concat(self.pull_address, "/", name)

    def plugin_push(self) -> dict[str, Any]:
        """See `RegistryAccess`."""
        import pulumi_docker as docker

        return {
            "registry": docker.RegistryArgs(
                server=self.push_address,
                username=self.password.apply(registry.user_of),
                password=self.password,
            )
        }

    def deployed(
        self, name: str, *, repository: str, tag: str, opts: pulumi.ResourceOptions
    ) -> pulumi.Output[str]:
        """See `RegistryAccess`."""
        return DeployedImage(name, access=self, repository=repository, tag=tag, opts=opts).digest

    def owned(self) -> pulumi.Output[list[str]]:
        """See `RegistryAccess`: the registry is the cluster's own."""
        return self.pull_address.apply(lambda address: [f"{address}/"])

    def endpoint(self) -> pulumi.Output[dict[str, Any]]:
        """See `RegistryAccess`."""
        return pulumi.Output.secret(
            pulumi.Output.all(
                host=self.push_host,
                port=self.push_port,
                authority=self.authority,
                password=self.password,
            )
        )


class BuiltImageProvider(Provider):
    """Base of images in any registry: the digest, and the operator's local tag."""

    def digest(self, props: Props) -> str:
        """Return the digest of the image in the registry, ``sha256:…``."""
        raise NotImplementedError

    def local_name(self, props: Props) -> str:
        """Return the image's name in the operator's Docker."""
        raise NotImplementedError

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this after the first build."""
        outs = {**props, "digest": self.digest(props)}
        return CreateResult(f"{props['repository']}:{props['tag']}", outs)

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this after the build of changed content."""
        from infra.images import engine

        outs = {**news, "digest": self.digest(news)}
        if self.local_name(olds) != self.local_name(news):
            engine.untag(self.local_name(olds))
        return UpdateResult(outs)

    def delete(self, _id: str, props: Props) -> None:
        """Pulumi calls this on destroy: the name is removed, the builder keeps its cache."""
        from infra.images import engine

        engine.untag(self.local_name(props))


class DeployedImageProvider(BuiltImageProvider):
    """Reads the digest of an image that ``docker.Image`` pushed."""

    compared = ("tag", "push_address")

    def digest(self, props: Props) -> str:
        """Read the digest from the registry."""
        endpoint = registry.Endpoint(
            host=props["push_host"],
            port=int(props["push_port"]),
            authority=props["authority"],
            password=props["password"],
        )
        digest = registry.digest(endpoint, props["repository"], props["tag"])
        if not digest:
            msg = (
                f"the registry does not have {props['repository']}:{props['tag']}, although it was"
                " pushed. Run `pulumi up` again; it pushes missing images."
            )
            raise registry.RegistryError(msg)
        say(f"{props['repository']}: in the registry as {digest[:19]}…")
        return digest

    def local_name(self, props: Props) -> str:
        """See `BuiltImageProvider`."""
        return f"{props['push_address']}/{props['repository']}:{props['tag']}"


class DeployedImage(Resource, module="images", name="DeployedImage"):
    """An image in the registry on the first manager."""

    digest: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        access: EmbeddedAccess,
        repository: str,
        tag: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``repository`` and ``tag`` have been pushed to ``access``."""
        props = {
            "repository": repository,
            "tag": tag,
            "push_address": access.push_address,
            "push_host": access.push_host,
            "push_port": access.push_port,
            "authority": access.authority,
            "password": access.password,
            "digest": None,
        }
        super().__init__(DeployedImageProvider(), name, props, opts)


class EcrImageProvider(BuiltImageProvider):
    """Pushes an image to ECR, with a token that is requested each time and not stored."""

    compared = ("tag", "pushed_as", "profile", "present")

    def read(self, id_: str, props: Props) -> ReadResult:
        """Pulumi calls this on refresh: an image that was deleted there is drift."""
        host, _, repository = props["pushed_as"].partition("/")
        login = _ecr_login(props)
        endpoint = registry.Endpoint(
            host=host,
            port=HTTPS_PORT,
            authority=None,
            user=login.user,
            password=login.password,
            advice="Check that this machine is online.",
        )
        found = registry.digest(endpoint, repository, props["tag"])
        return ReadResult(id_, {**props, "present": found == props["digest"]})

    def digest(self, props: Props) -> str:
        """Push; layers that the registry already has are not sent again."""
        from infra.images import engine

        login = _ecr_login(props)
        name = self.local_name(props)
        say(f"{props['repository']}: pushing to {props['pushed_as']}")
        pushed = engine.push(name, user=login.user, password=login.password)
        say(f"{props['repository']}: in the registry as {pushed[:19]}…")
        return pushed

    def local_name(self, props: Props) -> str:
        """See `BuiltImageProvider`."""
        return f"{props['pushed_as']}:{props['tag']}"


class EcrImage(Resource, module="images", name="EcrImage"):
    """An image in Amazon's registry."""

    digest: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        repository: str,
        tag: str,
        pushed_as: pulumi.Input[str],
        region: str,
        profile: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``repository`` and ``tag`` have been built under the name ``pushed_as``.

        ``profile`` is that of the operator's credentials; empty for the default of AWS tools.
        """
        props = {
            "repository": repository,
            "tag": tag,
            "pushed_as": pushed_as,
            "region": region,
            "profile": profile,
            "present": True,
            "digest": None,
        }
        super().__init__(EcrImageProvider(), name, props, opts)


def _ecr_login(props: Props) -> EcrLogin:
    from infra.machines import target_packages

    target_packages.use("aws")
    from infra.machines.aws import ecr as aws_ecr

    return aws_ecr.login(props["region"], props["profile"])


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
        arguments = build_context.arguments(dockerfile, os.environ, project_images.base())
        tag = build_context.tag(context, dockerfile, {**arguments, "platform": platform})
        context_path = str(context.relative_to(ROOT) if context != ROOT else ".")
        built = ImageBuild(
            f"{name}-build",
            repository=name,
            tag=tag,
            pushed_as=access.pushed_as(name),
            context=context_path,
            dockerfile=str(dockerfile.relative_to(ROOT)),
            arguments=arguments,
            platform=platform,
            opts=pulumi.ResourceOptions(parent=self),
        )
        image = docker.Image(
            f"{name}-image",
            image_name=pulumi.Output.concat(access.pushed_as(name), ":", tag),
            build=docker.DockerBuildArgs(
                context=context_path,
                dockerfile=str(dockerfile.relative_to(ROOT)),
                args=arguments or None,
                platform=platform,
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[built, *depends_on]),
            **access.plugin_push(),
        )
        digest = access.deployed(
            f"{name}-digest",
            repository=name,
            tag=tag,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[image]),
        )
        self.reference = pulumi.Output.concat(access.pulled_as(name), "@", digest)
        self.register_outputs({"reference": self.reference})
