"""How the program uses a registry: the interface of the embedded one and of a target's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pulumi


class RegistryAccess(Protocol):
    """How images are pushed to a registry, and under which name the nodes pull them."""

    def pushed_as(self, name: str) -> pulumi.Output[str]:
        """Return ``registry/repository`` as the operator's Docker pushes it."""
        ...

    def pulled_as(self, name: str) -> pulumi.Output[str]:
        """Return ``registry/repository`` as the nodes pull it."""
        ...

    def plugin_push(self) -> dict[str, Any]:
        """Return the arguments of ``docker.Image`` for the push."""
        ...

    def deployed(
        self, name: str, *, repository: str, tag: str, opts: pulumi.ResourceOptions
    ) -> pulumi.Output[str]:
        """Make sure that a built image is in the registry; return its digest."""
        ...

    def owned(self) -> pulumi.Output[list[str]]:
        """Return the prefixes of the names of the cluster's own images on the nodes."""
        ...

    def endpoint(self) -> pulumi.Output[dict[str, Any]] | None:
        """Return the `infra.images.registry.Endpoint` of a registry that is cleaned from here.

        None for any other.
        """
        ...
