"""What the stand-in says of anything that it does not serve."""

from __future__ import annotations

from .schema import version

IMAGE_TYPE = "docker:index/image:Image"


def not_served(what: str, *, instead: str = "") -> str:
    """Name what is refused, what is served instead, and how to get the official plugin."""
    return (
        f"{what} is not served by this docker plugin: it is dairflow's stand-in for networks that "
        f"cannot download the official one, and it serves {IMAGE_TYPE} built by the "
        f"engine's BuildKit only."
        + (f" {instead}" if instead else "")
        + " Where the official plugin can be downloaded, put it in this one's place: "
        f"pulumi plugin rm resource docker {version()} --yes && "
        f"pulumi plugin install resource docker {version()}"
    )
