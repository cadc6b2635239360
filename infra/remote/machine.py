"""A machine of the cluster, with its addresses for the operator and for the other nodes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from infra import ports

if TYPE_CHECKING:
    from collections.abc import Mapping

Role = Literal["manager", "worker"]


@dataclass(frozen=True, kw_only=True)
class Jump:
    """A jump host for SSH to a machine; its host key is known beforehand too."""

    address: str
    host_key: str
    port: int = ports.SSH
    user: str = "root"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Jump:
        """Return the jump host from plain values, in which Pulumi's numbers are floats."""
        return cls(
            address=data["address"],
            host_key=data["host_key"],
            port=int(data.get("port", ports.SSH)),
            user=data.get("user", "root"),
        )


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A host of any target.

    ``address`` and ``port`` are for the operator's SSH, and may be a forwarded port on loopback;
    ``private_address`` is its IPv4 address in the cluster's own network. ``host_key`` is the public
    host key (``ssh-ed25519 AAAA…``) that is known before the first connection: no other key is
    accepted.
    """

    name: str
    role: Role
    address: str
    host_key: str
    private_address: str
    port: int = ports.SSH
    user: str = "root"
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    jump: Jump | None = None

    def __str__(self) -> str:
        """Return the machine for a message: ``worker-2 (root@172.20.0.4:22)``."""
        return f"{self.name} ({self.user}@{self.address}:{self.port})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types for a resource's state."""
        return {**asdict(self), "labels": dict(self.labels)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Machine:
        """Return the machine from the result of `to_dict`, in which Pulumi's numbers are floats.

        Raises:
            KeyError: if a field without a default is missing.

        """
        labels: Mapping[Any, Any] = data.get("labels") or {}
        jump: Mapping[str, Any] | None = data.get("jump")
        return cls(
            name=data["name"],
            role=data["role"],
            address=data["address"],
            host_key=data["host_key"],
            private_address=data["private_address"],
            port=int(data.get("port", ports.SSH)),
            user=data.get("user", "root"),
            labels={str(key): str(value) for key, value in labels.items()},
            jump=Jump.from_dict(jump) if jump else None,
        )
