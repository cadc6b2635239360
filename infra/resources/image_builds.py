"""Builds an image before it is pushed, so that a failure has a cause with any plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi.dynamic import CreateResult, Resource, UpdateResult

from infra.resources.provider import Props, Provider

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi


class ImageBuildProvider(Provider):
    """Builds into the engine's cache; removes image names that updates left on the engine."""

    compared = ("tag", "pushed_as")

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this first, or again after an interrupted run."""
        _build(props)
        return CreateResult(f"{props['repository']}:{props['tag']}", props)

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this if the content, or the repository that it is pushed to, has changed."""
        from infra.images import engine

        _build(news)
        kept = {f"{props['pushed_as']}:{props['tag']}" for props in (olds, news)}
        for place in {olds["pushed_as"], news["pushed_as"]}:
            engine.remove_names(place, keep=kept)
        return UpdateResult(news)

    def delete(self, _id: str, props: Props) -> None:
        """Pulumi calls this on destroy, after the image's own resource.

        An image name from a failed update is not in the state of any resource.
        """
        from infra.images import engine

        engine.remove_names(props["pushed_as"])


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
        """``tag`` identifies the content; ``pushed_as`` is its ``registry/repository``."""
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
    from infra.images import build as image_build

    image_build.build(
        image_build.Recipe(
            name=props["repository"],
            context=props["context"],
            dockerfile=props["dockerfile"],
            arguments=props["arguments"],
            platform=props["platform"],
        )
    )
