"""An image's build, before it is pushed: it fails with a reason, whichever plugin pushes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi.dynamic import CreateResult, Resource, UpdateResult

from infra.resources.provider import Props, Provider

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi


class ImageBuildProvider(Provider):
    """Builds into the engine's cache; takes away the names that updates left on the engine."""

    compared = ("tag", "pushed_as")

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this first, or again after an interrupted run."""
        _build(props)
        return CreateResult(f"{props['repository']}:{props['tag']}", props)

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this for another content, and for another place that it is pushed to."""
        from infra.machines.local import engine as local_engine

        _build(news)
        kept = {f"{props['pushed_as']}:{props['tag']}" for props in (olds, news)}
        for place in {olds["pushed_as"], news["pushed_as"]}:
            local_engine.remove_names(place, keep=kept)
        return UpdateResult(news)

    def delete(self, _id: str, props: Props) -> None:
        """Pulumi calls this on destroy, after the image's own resource.

        A name that a failed update gave the image is in no resource's state.
        """
        from infra.machines.local import engine as local_engine

        local_engine.remove_names(props["pushed_as"])


class ImageBuild(Resource, module="images", name="ImageBuild"):
    """An image in the builder's cache."""

    def __init__(
        self,
        name: str,
        *,
        repository: str,
        tag: str,
        pushed_as: pulumi.Output[str],
        context: str,
        dockerfile: str,
        arguments: Mapping[str, str],
        platform: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``tag`` names the content; ``pushed_as`` is the ``registry/repository`` that gets it."""
        props = {
            "repository": repository,
            "tag": tag,
            "pushed_as": pushed_as,
            "context": context,
            "dockerfile": dockerfile,
            "arguments": dict(arguments),
            "platform": platform,
        }
        super().__init__(ImageBuildProvider(), name, props, opts)


def _build(props: Props) -> None:
    from infra import image_build

    image_build.build(
        image_build.Recipe(
            name=props["repository"],
            context=props["context"],
            dockerfile=props["dockerfile"],
            arguments=props["arguments"],
            platform=props["platform"],
        )
    )
