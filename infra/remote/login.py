"""The operator's login on a machine; everything here is secret."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Login:
    """Keys and password of a login. Keys are in OpenSSH's PEM.

    ``password`` is for SSH without a key, and for sudo. The ``jump`` fields are for the jump host,
    if there is one. The files are the operator's key files, for SSH commands on the command line.
    """

    private_key: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    key_file: str = ""
    jump_private_key: str = field(default="", repr=False)
    jump_password: str = field(default="", repr=False)
    jump_key_file: str = ""

    @property
    def of_jump(self) -> Login:
        """The login on the jump host."""
        return Login(
            private_key=self.jump_private_key,
            password=self.jump_password,
            key_file=self.jump_key_file,
        )

    def to_dict(self) -> dict[str, str]:
        """Return plain JSON types for a resource's state."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Login:
        """Return the login from the result of `to_dict`."""
        return cls(**data)
