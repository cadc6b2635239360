"""Removing the tags that the plugin made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from docker.errors import ImageNotFound

if TYPE_CHECKING:
    import docker


def remove_tag(client: docker.APIClient, name: str, repo_digest: str) -> bool:
    """Remove a tag, if it still is that of the image with this digest or id.

    The builder's cache is BuildKit's own, so the next build repeats no step.

    Returns:
        Whether the tag is gone. It is not when it names another image by now.

    Raises:
        docker.errors.APIError: the engine refused, e.g. because a container uses the image.

    """
    try:
        image = cast("dict[str, Any]", client.inspect_image(name))  # pyright: ignore[reportUnknownMemberType]
    except ImageNotFound:
        return True
    digest = repo_digest.rpartition("@")[2]
    known = cast("list[str]", image.get("RepoDigests") or [])
    digests = [reference.rpartition("@")[2] for reference in known]
    if digest not in (image["Id"], *digests):
        return False
    client.remove_image(name)  # pyright: ignore[reportUnknownMemberType]
    return True
